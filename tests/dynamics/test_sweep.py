import json
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

import largestep as ls
from largestep import provenance
from largestep.dynamics import SAM, SGD, HoldLoss, grid, refinement, table
from largestep.dynamics.refinement import CONVERGED, DIVERGED, PLATEAU, regions
from largestep.dynamics.sweep import axis, sweep
from largestep.figures.sweep import draw_plane
from largestep.jobs.journal import Journal
from largestep.losses import Squared
from largestep.measures import Measure, jacobian_rank, nonzero_coordinates
from largestep.networks import DiagonalLinear
from largestep.problems import Problem, sparse_regression
from largestep.schedules import decay

SETTINGS = {
    "x": {"step_size": [0.05, 0.2, 3.0]},
    "y": {"decay_at": [0.0, 0.5]},
    "steps": 200,
    "seeds": [0, 3],
    "measure": ["test_loss", "nonzero_coordinates"],
}


def test_a_cell_is_the_end_of_its_own_simulation(diagonal, sparse_problem):
    # Measures that are given all trajectories at once, and one that is not, of several thresholds.
    measure = ["train_loss", "test_loss", jacobian_rank((0.5, 1e-4)), "effective_rank"]
    settings = {**SETTINGS, "measure": measure, "fixed": {"factor": 4.0}}
    plane = sweep(diagonal, sparse_problem, **settings)
    assert plane.test_loss.dims == ("step_size", "decay_at", "seed")
    runs = ls.simulate(
        diagonal,
        sparse_problem,
        SGD(),
        decay(0.2, factor=4.0, at=0.5),
        steps=200,
        seeds=[0, 3],
        measure=measure,
        record=np.unique(np.linspace(0, 200, 81).astype(int)),
    ).isel(schedule=0)
    cell = plane.sel(step_size=0.2, decay_at=0.5)
    for name in ("test_loss", "jacobian_rank", "effective_rank"):
        np.testing.assert_array_equal(cell[name], runs[name].isel(step=-1))
    assert not (cell.effective_rank == runs.effective_rank.isel(step=0)).any()
    phase = runs.train_loss.sel(step=slice(50, 99)).median("step")
    np.testing.assert_array_equal(cell.plateau_loss, phase)
    assert plane.sel(step_size=3.0, decay_at=0.5).diverged_at.notnull().all()
    assert plane.sel(step_size=3.0, decay_at=0.5).test_loss.isnull().all()


def test_axes_may_change_places(diagonal, sparse_problem):
    plane = sweep(diagonal, sparse_problem, **SETTINGS)
    turned = sweep(diagonal, sparse_problem, **{**SETTINGS, "x": SETTINGS["y"], "y": SETTINGS["x"]})
    for name in plane:
        np.testing.assert_array_equal(
            turned[name].transpose("step_size", "decay_at", "seed"), plane[name]
        )


@pytest.fixture
def computed(monkeypatch):
    """Return a list of the numbers of trajectories that were computed, in blocks."""
    blocks = []

    def counting(plan, numbers):
        blocks.append(len(numbers))
        return grid.ends(plan, numbers)

    monkeypatch.setattr("largestep.dynamics.sweep.ends", counting)
    return blocks


def test_stored_blocks_are_taken_up_and_damaged_or_foreign_ones_are_not(
    diagonal, sparse_problem, tmp_path, computed, capsys
):
    first = sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path)
    assert sum(computed) == 12
    assert sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path).identical(first)
    assert sum(computed) == 12
    blocks = tmp_path / "blocks"
    content = bytearray(blocks.read_bytes())
    content[-1] ^= 1
    blocks.write_bytes(content)
    assert sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path).identical(first)
    assert 12 < sum(computed) < 24
    assert "damaged block; computing it again" in capsys.readouterr().err
    before = sum(computed)
    sweep(diagonal, sparse_problem, **{**SETTINGS, "steps": 100}, out=tmp_path)
    assert sum(computed) == before + 12


def test_other_axes_take_up_what_they_share(diagonal, sparse_problem, tmp_path, computed):
    first = sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path)
    more = {**SETTINGS, "x": {"step_size": [0.05, 0.1, 0.2]}, "seeds": [3, 5]}
    second = sweep(diagonal, sparse_problem, **more, out=tmp_path)
    assert sum(computed) == 12 + 12 - 4
    both = {"step_size": [0.05, 0.2], "seed": [3]}
    assert second.sel(both).equals(first.sel(both))
    assert second.equals(sweep(diagonal, sparse_problem, **more))


def test_the_picture_is_drawn_where_everything_diverged_too(diagonal, sparse_problem, tmp_path):
    plane = sweep(diagonal, sparse_problem, **SETTINGS)
    for part in (plane, plane.isel(step_size=[2, 2])):
        draw_plane(part, zero_loss=0.5).savefig(tmp_path / "plane.png")


MAKES = partial(sparse_regression, n=12, d=8, nonzeros=2, test_points=20)


def test_settings_of_every_part_are_swept(diagonal):
    settings = {**SETTINGS, "x": {"u0": [0.1, 0.3]}, "y": {"noise": [0.0, 0.2]}}
    more = {"batch_size": [1, 2], "factor": [2.0, 4.0]}
    plane = sweep(diagonal, MAKES, **settings, over=more, fixed={"problem.seed": 1})
    assert plane.test_loss.dims == ("u0", "noise", "batch_size", "factor", "seed")
    runs = ls.simulate(
        DiagonalLinear(d=8, u0=0.1, v0=0.1),
        MAKES(noise=0.2, seed=1),
        SGD(batch_size=2),
        decay(0.25, factor=4.0, at=0.5),
        steps=200,
        seeds=[0, 3],
        record=np.unique(np.linspace(0, 200, 81).astype(int)),
    )
    cell = plane.sel(u0=0.1, noise=0.2, batch_size=2, factor=4.0)
    np.testing.assert_array_equal(cell.test_loss, runs.test_loss[0, :, -1])
    assert plane.test_loss.notnull().all()


def test_a_name_that_several_parts_have_is_set_in_all(diagonal):
    settings = {**SETTINGS, "x": {"d": [4, 8]}}
    plane = sweep(partial(DiagonalLinear, u0=0.3, v0=0.1), MAKES, **settings)
    alone = sweep(diagonal, sparse_regression(12, 8, 2, test_points=20), **SETTINGS)
    at = {"step_size": 0.2, "decay_at": 0.5}
    ends = sweep(diagonal, MAKES, **{**settings, "fixed": {"step_size": 0.2}}).sel(d=8)
    np.testing.assert_array_equal(ends.sel(decay_at=0.5).test_loss, alone.sel(at).test_loss)
    assert plane.test_loss.dims == ("d", "decay_at", "seed")


def test_settings_lie_within_parts_too(diagonal, sparse_problem):
    settings = {**SETTINGS, "x": {"rho": [0.01, 0.1]}, "y": {"of.cap": [1.0, 2.0]}}
    plane = sweep(diagonal, sparse_problem, **settings, dynamics=SAM(0.0, of=SGD(momentum=0.5)))
    runs = ls.simulate(
        diagonal,
        sparse_problem,
        SAM(0.1, of=SGD(momentum=0.5, cap=2.0)),
        decay(0.25, factor=2.0, at=0.5),
        steps=200,
        seeds=[0, 3],
    )
    cell = plane.sel({"rho": 0.1, "of.cap": 2.0})
    np.testing.assert_array_equal(cell.test_loss, runs.test_loss[0, :, -1])


def large_then_small(large=0.2, small=0.01):
    return decay(large, factor=large / small, at=0.5)


def test_a_schedule_of_ones_own_and_a_dynamics_without_one(diagonal, sparse_problem):
    own = {**SETTINGS, "x": {"large": [0.1, 0.2]}, "y": {"small": [0.01, 0.02]}}
    plane = sweep(diagonal, sparse_problem, **own, schedule=large_then_small)
    same = sweep(diagonal, sparse_problem, **SETTINGS, fixed={"factor": 20.0})
    np.testing.assert_array_equal(
        plane.sel(large=0.2, small=0.01).test_loss,
        same.sel(step_size=0.2, decay_at=0.5).test_loss,
    )
    held = {**SETTINGS, "x": {"u0": [0.1, 0.3]}, "y": {"v0": [0.0, 0.1]}}
    plane = sweep(diagonal, sparse_problem, **held, dynamics=HoldLoss())
    runs = ls.simulate(diagonal, sparse_problem, HoldLoss(), steps=200, seeds=[0, 3])
    np.testing.assert_array_equal(plane.sel(u0=0.3, v0=0.1).test_loss, runs.test_loss[0, :, -1])


BOUNDARY = {
    "x": {"u0": np.linspace(0.05, 0.6, 25)},
    "y": {"step_size": np.linspace(0.1, 2.0, 25)},
    "steps": 60,
    "seeds": [0],
    "measure": [],
}


def test_a_refined_boundary_is_the_full_grids(diagonal, sparse_problem, tmp_path):
    full = sweep(diagonal, sparse_problem, **BOUNDARY, out=tmp_path)
    refined = sweep(diagonal, sparse_problem, **BOUNDARY, refine=3)
    known = refined.computed.values
    assert known.mean() < 0.4
    for name in full:
        np.testing.assert_array_equal(refined[name].values[known], full[name].values[known])
        assert np.isnan(refined[name].values[~known]).all()
    # Where neighbours differ, both are known; small islands alone are missed.
    found = regions(full, sparse_problem.zero_loss).values
    assert len(set(found.ravel())) > 1
    for differ, one, other in (
        (found[1:] != found[:-1], known[1:], known[:-1]),
        (found[:, 1:] != found[:, :-1], known[:, 1:], known[:, :-1]),
    ):
        assert (one & other)[differ].mean() > 0.8
    draw_plane(refined, zero_loss=sparse_problem.zero_loss)


def test_a_sharp_boundary_costs_a_tenth_of_the_grid():
    # The regions of a plane, told to the refinement as it asks for them.
    number = 129
    x, y = np.meshgrid(np.arange(number), np.arange(number), indexing="ij")
    truth = (x**2 + y**2 > 90**2).astype(int)
    found = np.full(truth.shape, -1)
    grids = [
        (refinement._every(number, 2**k), refinement._every(number, 2**k)) for k in (4, 3, 2, 1, 0)
    ]
    wanted = np.zeros(truth.shape, dtype=bool)
    wanted[np.ix_(*grids[0])] = True
    while wanted.any():
        found[wanted] = truth[wanted]
        wanted = refinement._open(found, grids)
    assert (found >= 0).mean() < 0.1
    across = truth[1:] != truth[:-1]
    assert (found[1:][across] >= 0).all()
    assert (found[:-1][across] >= 0).all()


def test_regions_are_those_of_most_seeds():
    nan = np.nan
    ends = xr.Dataset(
        {
            "diverged_at": (("x", "seed"), [[5, 5, nan], [nan, nan, 5], [nan, nan, nan]]),
            "plateau_loss": (("x", "seed"), [[nan, nan, 1.0], [1e-9, 1e-9, nan], [1.0, 1.0, 1e-9]]),
        }
    )
    assert regions(ends, 1.0).values.tolist() == [DIVERGED, CONVERGED, PLATEAU]


def test_more_than_fits_in_memory_goes_to_zarr(diagonal, sparse_problem, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    wanted = {**SETTINGS, "measure": ["test_loss", jacobian_rank((1e-4, 1e-8))]}
    small = sweep(diagonal, sparse_problem, **wanted)
    monkeypatch.setattr(table, "IN_MEMORY", 100)
    with pytest.raises(ValueError, match="GB of results need a folder"):
        sweep(diagonal, sparse_problem, **wanted)
    for _ in range(2):  # the second replaces the first
        large = sweep(diagonal, sparse_problem, **wanted, out=tmp_path)
        assert (tmp_path / "results.zarr").is_dir()
        xr.testing.assert_identical(large.load(), small)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks", "results.zarr"]


def test_several_kinds_of_processors_are_named(diagonal, sparse_problem, tmp_path, capsys):
    sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path)
    assert "processors" not in capsys.readouterr().err
    more = {**SETTINGS, "seeds": [0, 3, 4]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("largestep.provenance.processor", lambda: "abacus")
        both = sweep(diagonal, sparse_problem, **more, out=tmp_path)
    assert json.loads(both.attrs["processors"]) == sorted(["abacus", provenance.processor()])
    assert "Several kinds of processors have computed" in capsys.readouterr().err


def test_axes_are_read():
    np.testing.assert_allclose(axis("step_size=0.1:0.3:3")["step_size"], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(axis("factor=2,4,8")["factor"], [2, 4, 8])


@pytest.mark.parametrize("text", ["step_size", "step_size=a:b:3", "factor=1:2", "factor=1:2:x"])
def test_what_is_no_axis_is_refused(text):
    with pytest.raises(ValueError, match="an axis must be name=start:stop:count"):
        axis(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x": {"batch": [1.0]}}, "a setting must be one of network.d, .*got 'batch'"),
        ({"x": {"network.batch": [1.0]}}, "got 'network.batch'"),
        ({"x": {"seed": [1.0]}}, "name problem.seed for the data's"),
        ({"x": {"u0": [0.1], "v0": [0.2]}}, "x must name one setting"),
        ({"x": {"decay_at": [0.1]}}, "different settings, got decay_at twice"),
        ({"over": {"decay_at": [0.1]}}, "different settings, got decay_at twice"),
        ({"over": {"batch_size": [1.5]}}, "batch_size must be an integer, got 1.5"),
        ({"over": {"d": [8, 9]}}, "network must take as many inputs as the problem has, 8"),
        ({"x": {"step_size": []}}, "one or more increasing values"),
        ({"x": {"step_size": [0.2, 0.1]}}, "increasing"),
        ({"x": {"step_size": [np.nan]}}, "step_size must be finite"),
        ({"x": {"step_size": [-0.1]}}, "step_size must be at least 0"),
        ({"y": {"decay_at": [1.5]}}, "at must be at least 0 and at most 1"),
        ({"fixed": {"capacity": 1.0}}, "a setting must be one of"),
        ({"fixed": {"step_size": 1.0}}, "fixed or swept, got step_size twice"),
        ({"refine": -1}, "refine must be at least 0"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"seeds": [1, 1]}, "distinct"),
    ],
)
def test_bad_planes_are_refused(diagonal, sparse_problem, settings, message):
    with pytest.raises(ValueError, match=message):
        sweep(diagonal, sparse_problem, **{**SETTINGS, **settings})


class Scaled(DiagonalLinear):
    """A network whose text does not tell it from another."""

    def initialize(self, rng):
        return 1.5 * super().initialize(rng)

    def __repr__(self):
        return "DiagonalLinear(d=8, u0=0.3, v0=0.1)"


def other_norm(network, problem, thetas):
    return np.abs(thetas).max(axis=1)


def norm(network, problem, thetas):
    return np.linalg.norm(thetas, axis=1)


def variations(network, problem):
    """Yield inputs that give other numbers, one for each thing that decides them."""
    x, y = problem.x_train, problem.y_train
    test = problem.x_test, problem.y_test
    one = Measure("size", norm, "size")
    yield {}
    yield {"problem": Problem(x, y + 1e-9, *test, description=problem.description)}
    yield {"problem": Problem(x * 1.01, y, *test, description=problem.description)}
    yield {"problem": Problem(x, y, *test, loss=Squared(1.0), description=problem.description)}
    yield {"network": Scaled(d=8, u0=0.3, v0=0.1)}
    yield {"network": DiagonalLinear(d=8, u0=0.3 + 1e-12, v0=0.1)}
    yield {"dynamics": SGD(cap=1.0)}
    yield {"measure": [one]}
    yield {"measure": [replace(one, function=other_norm)]}
    yield {"measure": [nonzero_coordinates(1e-6)]}
    yield {"measure": [nonzero_coordinates(1e-5)]}
    yield {"steps": 201}
    yield {"fixed": {"factor": 3.0}}


def test_a_trajectory_is_taken_up_only_where_everything_has_the_same_content(
    diagonal, sparse_problem, tmp_path, computed
):
    for number, change in enumerate(variations(diagonal, sparse_problem)):
        given = {"network": diagonal, "problem": sparse_problem, **SETTINGS, **change}
        given["x"] = {"step_size": [0.05]}
        first = sweep(**given, out=tmp_path)
        assert sum(computed) == 4 * (number + 1), change
        assert sweep(**given, out=tmp_path).identical(first)
        assert sum(computed) == 4 * (number + 1), change


def test_what_cannot_be_keyed_is_not_saved(diagonal, sparse_problem, tmp_path):
    lock = threading.Lock()

    def locked(network, problem, thetas):
        with lock:
            return thetas[:, 0]

    given = {**SETTINGS, "measure": [Measure("first", locked, "θ_0")]}
    with pytest.raises(TypeError, match="must have content that can be read"):
        sweep(diagonal, sparse_problem, **given, out=tmp_path)
    assert sweep(diagonal, sparse_problem, **given)["first"].notnull().any()


def test_a_phase_without_a_recorded_step_has_no_level(diagonal, sparse_problem):
    plane = sweep(
        diagonal,
        sparse_problem,
        x={"step_size": [0.1]},
        y={"decay_at": [0.01, 0.5]},
        steps=20_001,
        seeds=[0],
    )
    assert plane.plateau_loss.isnull().values.ravel().tolist() == [True, False]


def test_only_one_process_sweeps_into_a_folder(diagonal, sparse_problem, tmp_path):
    with (
        Journal(tmp_path / "blocks", "a"),
        pytest.raises(OSError, match="another process is writing to"),
    ):
        sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path)
