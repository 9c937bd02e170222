"""The claims that experiments share, on curves whose truth is known."""

import numpy as np
import pytest
import xarray as xr

from largestep.experiments import phases
from largestep.store import Results

SEEDS, STEP = 12, np.arange(0, 1001, 5)
TIME = STEP / 1000


def results(rng, **curves):
    """Return runs with a training loss for each schedule, log-normal noise on it."""
    noise = rng.lognormal(sigma=0.2, size=(len(curves), SEEDS, len(STEP)))
    losses = np.stack(list(curves.values()))[:, np.newaxis] * noise
    dims = ("schedule", "seed", "step")
    return Results.from_dict(
        {
            "sgd": xr.Dataset(
                {
                    "train_loss": (dims, losses),
                    "rank": (dims, losses),
                    "sparsity": (dims, np.sqrt(losses)),
                    "diverged_at": (dims[:2], np.full((len(curves), SEEDS), np.nan)),
                },
                coords={"schedule": list(curves), "seed": range(SEEDS), "step": STEP},
            )
        }
    )


FALLING = np.exp(-20 * TIME)
PLATEAU = np.where(TIME <= 0.5, 0.1, 1e-4)
LOW_PLATEAU = np.where(TIME <= 0.5, 2e-4, 1e-6)
DRIFTING = np.where(TIME <= 0.5, np.exp(-16 * TIME), 1e-6)


def verdict(claim, runs):
    return claim.check(runs)["verdict"]


def stabilises():
    return phases.stabilises("sgd", "large", "small", until=0.5, step_size="η")


def test_a_plateau_stabilises_and_the_small_step_does_not(rng):
    found = stabilises().check(results(rng, small=FALLING, large=PLATEAU))
    assert found["verdict"] == "holds"
    assert found["control"]["verdict"] == "does not hold"
    assert found["beside"]["large"] == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    ("small", "large"),
    [(FALLING, FALLING), (FALLING**3, DRIFTING), (np.full(len(TIME), 1e-4), LOW_PLATEAU)],
)
def test_neither_falling_nor_drifting_nor_low_losses_stabilise(rng, small, large):
    assert verdict(stabilises(), results(rng, small=small, large=large)) == "does not hold"


def test_runs_that_diverge_in_the_phase_have_no_value(rng):
    runs = results(rng, small=FALLING, large=PLATEAU)
    losses = runs["sgd"].dataset.train_loss.copy()
    losses.loc[{"schedule": "large", "seed": [0, 1], "step": slice(300, None)}] = np.nan
    runs["sgd"] = runs["sgd"].to_dataset().assign(train_loss=losses)
    found = stabilises().check(runs)
    assert found["seeds_used"] == SEEDS - 2


def test_a_drop_at_the_decay_is_one_that_the_small_step_has_not(rng):
    claim = phases.drops_at_decay("sgd", "large", "small", until=0.5)
    assert verdict(claim, results(rng, small=FALLING, large=PLATEAU)) == "holds"
    assert (
        verdict(claim, results(rng, small=FALLING, large=np.full(len(TIME), 0.1)))
        == "does not hold"
    )
    both = results(rng, small=PLATEAU, large=PLATEAU)
    assert verdict(claim, both) == "not discriminating"


def test_a_fall_must_come_before_the_decay_and_stay(rng):
    claim = phases.fallen_and_stays(
        "sgd", lambda d: d.train_loss, "loss", large="large", small="small", until=0.5, bound=0.5
    )
    flat = np.ones(len(TIME))
    early = np.where(TIME < 0.3, 1.0, 0.1)
    late = np.where(TIME < 0.6, 1.0, 0.1)
    lost = np.where((TIME > 0.3) & (TIME < 0.6), 0.1, 1.0)
    assert verdict(claim, results(rng, small=flat, large=early)) == "holds"
    assert verdict(claim, results(rng, small=flat, large=late)) == "does not hold"
    assert verdict(claim, results(rng, small=flat, large=lost)) == "does not hold"


def test_a_proxy_must_do_better_than_time(rng):
    def proxy(name):
        return phases.tracks("sgd", lambda d: d[name], "proxy", lambda d: d["rank"])

    falling_both = results(rng, small=FALLING, large=FALLING)
    assert verdict(proxy("sparsity"), falling_both) == "not discriminating"
    moving = np.exp(np.sin(25 * TIME))
    assert verdict(proxy("sparsity"), results(rng, small=moving, large=10 * moving)) == "holds"


def test_labels_are_shuffled_so_that_none_keeps_its_own():
    assert phases.next_seed(np.arange(3)).tolist() == [1, 2, 0]
    np.testing.assert_array_equal(
        phases.ratio(np.array([1.0, 1.0, np.nan]), np.array([2.0, 0.0, 1.0])), [0.5, np.nan, np.nan]
    )
