import threading
from dataclasses import replace

import numpy as np
import pytest

import largestep as ls
from largestep import _files
from largestep.dynamics import SGD
from largestep.dynamics import sweep as sweeps
from largestep.dynamics.sweep import axis, sweep
from largestep.figures.sweep import draw_plane
from largestep.losses import Squared
from largestep.measures import Measure, nonzero_coordinates
from largestep.networks import DiagonalLinear
from largestep.problems import Problem
from largestep.schedules import decay

SETTINGS = {
    "x": {"step_size": [0.05, 0.2, 3.0]},
    "y": {"decay_at": [0.0, 0.5]},
    "steps": 200,
    "seeds": [0, 3],
    "measure": ["test_loss", "nonzero_coordinates"],
}


def test_a_cell_is_the_end_of_its_own_simulation(diagonal, sparse_problem):
    plane = sweep(diagonal, sparse_problem, **SETTINGS, fixed={"factor": 4.0})
    assert plane.test_loss.dims == ("step_size", "decay_at", "seed")
    runs = ls.simulate(
        diagonal,
        sparse_problem,
        SGD(),
        decay(0.2, factor=4.0, at=0.5),
        steps=200,
        seeds=[0, 3],
        measure=["train_loss", "test_loss"],
        record=np.unique(np.linspace(0, 200, 81).astype(int)),
    ).isel(schedule=0)
    cell = plane.sel(step_size=0.2, decay_at=0.5)
    np.testing.assert_array_equal(cell.test_loss, runs.test_loss.isel(step=-1))
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


def test_stored_columns_are_taken_up_and_damaged_or_foreign_ones_are_not(
    diagonal, sparse_problem, tmp_path, monkeypatch, capsys
):
    computed = []

    def counting(*arguments, **settings):
        computed.append(1)
        return ls.simulate(*arguments, **settings)

    monkeypatch.setattr(sweeps, "simulate", counting)
    first = sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path)
    assert len(computed) == 3
    assert sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path).identical(first)
    assert len(computed) == 3
    damaged = tmp_path / "columns" / "0001.nc"
    damaged.write_bytes(damaged.read_bytes()[:500])
    assert sweep(diagonal, sparse_problem, **SETTINGS, out=tmp_path).identical(first)
    assert len(computed) == 4
    assert "0001.nc cannot be read as results" in capsys.readouterr().err
    sweep(diagonal, sparse_problem, **{**SETTINGS, "steps": 100}, out=tmp_path)
    assert len(computed) == 7


def test_the_picture_is_drawn_where_everything_diverged_too(diagonal, sparse_problem, tmp_path):
    plane = sweep(diagonal, sparse_problem, **SETTINGS)
    for part in (plane, plane.isel(step_size=[2, 2])):
        draw_plane(part, zero_loss=0.5).savefig(tmp_path / "plane.png")


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
        ({"x": {"batch": [1.0]}}, "x must name one of step_size, decay_at, factor"),
        ({"x": {"decay_at": [0.1]}}, "different axes, got decay_at twice"),
        ({"x": {"step_size": []}}, "one or more increasing values"),
        ({"x": {"step_size": [0.2, 0.1]}}, "increasing"),
        ({"x": {"step_size": [np.nan]}}, "step_size must be finite"),
        ({"x": {"step_size": [-0.1]}}, "step_size must be at least 0"),
        ({"y": {"decay_at": [1.5]}}, "at must be at least 0 and at most 1"),
        ({"fixed": {"cap": 1.0}}, "fixed must name"),
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


def test_a_column_is_taken_up_only_where_everything_has_the_same_content(
    diagonal, sparse_problem, tmp_path, monkeypatch
):
    computed = []

    def counting(*arguments, **settings):
        computed.append(1)
        return ls.simulate(*arguments, **settings)

    monkeypatch.setattr(sweeps, "simulate", counting)
    for number, change in enumerate(variations(diagonal, sparse_problem)):
        given = {"network": diagonal, "problem": sparse_problem, **SETTINGS, **change}
        given["x"] = {"step_size": [0.05]}
        first = sweep(**given, out=tmp_path)
        assert len(computed) == number + 1, change
        assert sweep(**given, out=tmp_path).identical(first)
        assert len(computed) == number + 1, change


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
        _files.exclusive(_files.prepare_folder(tmp_path / "columns")),
        pytest.raises(BlockingIOError, match="is writing to"),
    ):
        sweep(
            diagonal,
            sparse_problem,
            x={"step_size": [0.1]},
            y={"factor": [2.0]},
            steps=9,
            seeds=[0],
            out=tmp_path,
        )
