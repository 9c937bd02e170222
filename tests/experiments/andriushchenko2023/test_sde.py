import numpy as np
import pytest
import xarray as xr

from largestep.experiments.andriushchenko2023.sde import compute as sde
from largestep.experiments.andriushchenko2023.sde.show import CLAIMS
from largestep.store import Results


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
    found = sde.agreement({f"{sde.REFERENCE}/SGD": sgd, f"{sde.REFERENCE}/SDE": way})
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


def test_a_drifting_loss_is_marked(rng):
    flat, other = sde.REFERENCE, "diagonal, data 1"
    found = sde.agreement(
        {
            f"{flat}/SGD": runs(rng),
            f"{flat}/SDE": runs(rng),
            f"{other}/SGD": runs(rng, drift=0.1),
            f"{other}/SDE": runs(rng, factor=5.0),
        }
    )
    assert found.flat.values.tolist() == [True, False]
    assert found.ratio.sel(problem=other).notnull().all()


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "holds"), (2.0, "does not hold"), (1.25, "undecided")]
)
def test_agreement_is_judged_over_seeds(rng, factor, verdict):
    on_plateau = CLAIMS[0]
    assert sde.REFERENCE in on_plateau.sentence
    sgd = runs(rng)
    # Before the plateau the control: SGD at the start, a hundredth of the loss.
    sgd["train_loss"] = sgd.train_loss.where(sgd.step > 20, sgd.train_loss / 100)
    way = runs(rng, factor=factor)
    results = Results.from_dict({f"{sde.REFERENCE}/SGD": sgd, f"{sde.REFERENCE}/SDE": way})
    found = on_plateau.check(results)
    assert found["verdict"] == verdict
    assert (found["seeds"], found["control"]["verdict"]) == (30, "does not hold")


def test_the_sde_is_compared_with_runs_that_cannot_diverge():
    for setting, _ in sde.settings().values():
        assert setting.cap > 0
        # Only then does the noise, switched off at the decay, act throughout the phase.
        sizes = setting.schedule(np.linspace(0, 1, 201))
        assert (np.diff(sizes[:100]) >= 0).all()
        assert sizes[-1] < sizes[:100].max()
