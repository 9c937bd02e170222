import numpy as np
import pytest
import xarray as xr

from largestep.dynamics import GD, SAM, SGD, JacobianPenalizedGD, LabelNoise
from largestep.experiments import rivals, sde


def runs(rng, *, factor=1.0, drift=1.0, seeds=30):
    """Return runs whose losses are log-normal around a level, `drift` times it at 35–50 %."""
    step = np.linspace(0, 1000, 101).astype(int)
    level = np.where((step >= 350) & (step <= 500), drift, 1.0)
    loss = factor * level * rng.lognormal(sigma=0.3, size=(seeds, len(step)))
    dims = ("seed", "step")
    return xr.Dataset(
        {
            "train_loss": (dims, loss),
            "step_size": ("step", np.ones(len(step))),
            "diverged_at": ("seed", np.full(seeds, np.nan)),
        },
        coords={"seed": range(seeds), "step": step},
    )


def table(sgd, way):
    found = sde.agreement({f"{sde.REFERENCE}: SGD": sgd, f"{sde.REFERENCE}: SDE": way})
    return found.sel(problem=sde.REFERENCE).sel({"quantity": "train_loss"})


def test_agreement_finds_a_factor_and_only_a_factor(rng):
    sgd = runs(rng)
    same, double = table(sgd, runs(rng)), table(sgd, runs(rng, factor=2.0))
    np.testing.assert_allclose(same.ratio, 1.0, atol=0.25)
    assert (same.p > 0.05).all()
    np.testing.assert_allclose(double.ratio, 2.0, atol=0.5)
    assert (double.p < 0.05).all()
    assert (double.effect > 0.5).all()


def test_agreement_of_a_run_with_itself_is_exact(rng):
    sgd = runs(rng)
    found = table(sgd, sgd)
    for key, value in (("ratio", 1.0), ("spread", 1.0), ("effect", 0.0), ("p", 1.0)):
        assert (found[key] == value).all()


def test_a_diverged_seed_leaves_no_comparison(rng):
    sgd = runs(rng)
    broken = sgd.copy(deep=True)
    broken.train_loss[3, 40:] = np.nan
    found = table(sgd, broken)
    assert found.ratio.notnull().values.tolist() == [True, True, True, False, False]
    assert found.p.notnull().values.tolist() == [True, True, True, False, False]


def test_a_drifting_loss_is_shown_and_not_counted(rng):
    sgd, drifting = runs(rng), runs(rng, drift=0.1)
    flat, other = sde.REFERENCE, "diagonal, data 1"
    results = {
        f"{flat}: SGD": sgd,
        f"{flat}: SDE": sgd,
        f"{other}: SGD": drifting,
        f"{other}: SDE": runs(rng, factor=5.0),
    }
    found = sde.agreement(results)
    assert found.flat.values.tolist() == [True, False]
    assert found.ratio.sel(problem=other).notnull().all()
    results[sde.TABLE] = found
    counted = sde.CLAIMS[0].values(results)
    np.testing.assert_array_equal(counted, np.zeros(2))


def test_the_sde_is_compared_with_runs_that_cannot_diverge():
    for setting in sde.settings().values():
        assert setting.cap > 0
        # Only then does the noise, switched off at the decay, act throughout the phase.
        sizes = setting.schedule(np.linspace(0, 1, 201))
        assert (np.diff(sizes[:100]) >= 0).all()
        assert sizes[-1] < sizes[:100].max()


@pytest.mark.parametrize(
    ("dynamics", "cost"),
    [
        (SGD(), 1),
        (LabelNoise(0.1), 1),
        (SAM(0.1), 2),
        (GD(), 80),
        (LabelNoise(0.1, of=GD()), 80),
        (SAM(0.1, of=GD()), 160),
        (JacobianPenalizedGD(0.1), 240),
    ],
)
def test_a_step_costs_its_gradients(dynamics, cost):
    assert rivals.gradients_per_step(dynamics, 80) == cost


def test_every_rival_spends_the_whole_budget():
    for setting in rivals.settings().values():
        for ways, _ in setting.grids.values():
            for dynamics in ways:
                cost = rivals.gradients_per_step(dynamics, setting.problem.n)
                assert setting.gradients % cost < 0.01 * setting.gradients


def test_all_but_small_steps_decay_after_half():
    t = np.array([0.49, 0.51])
    np.testing.assert_allclose(rivals.schedule(rivals.SMALL, 0.2)(t), [0.2, 0.2])
    np.testing.assert_allclose(rivals.schedule(rivals.LARGE, 0.2)(t), [0.2, 0.05])


def test_the_best_setting_survives_before_it_is_good():
    ends = xr.Dataset(
        {
            "test_loss": (
                ("setting", "seed"),
                [[np.nan, 0.1, 0.1], [3.0, 3.0, 3.0], [2.0, 7.0, 2.0], [9.0, 9.0, 9.0]],
            ),
            "diverged_at": (
                ("setting", "seed"),
                [[5.0, np.nan, np.nan], [np.nan] * 3, [np.nan] * 3, [np.nan] * 3],
            ),
        },
        coords={"setting": ["a", "b", "c", "d"], "rival": ("setting", ["x", "x", "x", "y"])},
    )
    chosen = rivals.best(ends)
    assert chosen.rival.values.tolist() == ["x", "y"]
    assert chosen.setting.values.tolist() == ["c", "d"]
    # The seeds that chose, 0 and 2, are not shown.
    np.testing.assert_array_equal(chosen.test_loss, [[7.0], [9.0]])
