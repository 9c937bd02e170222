import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import largestep as ls
from largestep.metrics import plateau

STEPS = np.linspace(0, 1000, 400)


def noisy(loss, seed=0, sigma=0.4):
    return loss * np.random.default_rng(seed).lognormal(sigma=sigma, size=len(loss))


@pytest.mark.parametrize("until", [0.1, 0.3, 0.5, 0.9])
def test_a_flat_noisy_stretch_is_found_with_its_ends_and_level(until):
    loss = noisy(np.where(until * 1000 > STEPS, 0.05, 0.05 * np.exp(-(STEPS - until * 1000) / 20)))
    found = plateau(STEPS, loss)
    assert found is not None
    assert found.start == 0
    assert found.end == pytest.approx(until * 1000, abs=45)
    assert found.level == pytest.approx(0.05, rel=0.15)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_units_of_loss_and_time_do_not_matter(loss_unit, time_unit):
    loss = noisy(np.where(STEPS < 400, 0.05, 1e-4))
    reference = plateau(STEPS, loss)
    found = plateau(time_unit * STEPS, loss_unit * loss)
    assert reference is not None
    assert found is not None
    assert found.level == pytest.approx(loss_unit * reference.level)
    assert found.end == pytest.approx(time_unit * reference.end)


@pytest.mark.parametrize(
    "loss",
    [
        np.exp(-STEPS / 30),
        1 / (1 + STEPS),
        (1 + STEPS) ** -0.5,
        np.maximum(np.exp(-STEPS / 5), 1e-30),
        np.full(400, np.nan),
        np.zeros(400),
    ],
    ids=["exponential", "1/t", "1/√t", "converged", "nothing", "zero"],
)
def test_what_converges_does_not_stabilise(loss):
    assert plateau(STEPS, loss) is None


@given(st.floats(0.5, 4.0), st.floats(1e-6, 1e6))
@settings(max_examples=20, deadline=None)
def test_no_power_law_stabilises(exponent, unit):
    assert plateau(STEPS, unit * (1 + STEPS) ** -exponent) is None


@given(st.floats(5.0, 80.0))
@settings(max_examples=20, deadline=None)
def test_no_exponential_stabilises(time):
    assert plateau(STEPS, np.exp(-STEPS / time)) is None


def test_no_slow_exponential_stabilises():
    assert plateau(STEPS, np.exp(-STEPS / 200)) is None


def test_a_loss_at_rounding_level_has_converged_however_flat():
    loss = noisy(np.where(STEPS < 20, 1.0, 1e-30))
    assert plateau(STEPS, loss) is None


def test_a_stretch_shorter_than_asked_for_is_no_plateau():
    loss = noisy(np.where(STEPS < 200, 0.1, 1e-8))
    assert plateau(STEPS, loss, min_share=0.15) is not None
    assert plateau(STEPS, loss, min_share=0.25) is None


@pytest.mark.parametrize("points", [1, 2])
def test_a_few_points_are_no_plateau(points):
    assert plateau(STEPS[:points], np.ones(points)) is None


def test_the_longest_of_several_levels_is_found():
    loss = noisy(np.select([STEPS < 200, STEPS < 700], [1.0, 0.1], 0.01), sigma=0.1)
    found = plateau(STEPS, loss)
    assert found is not None
    assert found.level == pytest.approx(0.1, rel=0.1)
    assert found.start == pytest.approx(200, abs=25)


def test_a_plateau_may_end_in_divergence():
    loss = noisy(np.full(400, 0.05))
    loss[200:] = np.nan
    found = plateau(STEPS, loss)
    assert found is not None
    assert found.end == pytest.approx(500, abs=5)


def test_a_constant_loss_is_a_plateau():
    found = plateau(STEPS, np.full(400, 2.3))
    assert found is not None
    assert (found.start, found.end) == (0, 1000)


def test_real_curves(rng):
    problem = ls.problems.sparse_regression(n=80, d=200, nonzeros=20, seed=0)
    runs = ls.simulate(
        ls.networks.DiagonalLinear(d=200),
        problem,
        ls.dynamics.SGD(cap=4.0),
        {"small": 0.1, "large": ls.schedules.decay(0.282, factor=1.5, at=0.5)},
        steps=100_001,
        seeds=range(4),
        measure=["train_loss"],
    )
    for seed in range(4):
        curves = runs.train_loss.sel(seed=seed)
        # Later the decayed step size holds a level of its own.
        early = curves.sel(schedule="large", step=slice(None, 70_000))
        found = plateau(early.step.values, early.values)
        assert found is not None
        # Bursts may cut it short, but it fills much of the large-step phase, and no more.
        assert found.end - found.start > 15_000
        assert found.end < 51_000
        assert 0.02 < found.level < 0.06
        assert plateau(runs.step.values, curves.sel(schedule="small").values) is None


@pytest.fixture(scope="module")
def diagonal_runs():
    return ls.simulate(
        ls.networks.DiagonalLinear(d=200),
        ls.problems.sparse_regression(n=80, d=200, nonzeros=20, seed=0),
        schedules={"small": 0.25, "large": ls.schedules.decay(0.282, factor=1.5, at=0.5)},
        steps=100_001,
        seeds=range(12),
        measure=["train_loss"],
    )


def plateaus(runs, schedule):
    curves = runs.sel(schedule=schedule)
    curves = curves.isel(seed=np.flatnonzero(curves.diverged_at.isnull()))
    return [plateau(runs.step.values, curves.train_loss.sel(seed=s).values) for s in curves.seed]


def test_the_plateau_of_the_papers_large_step_size_ends_with_its_decay(diagonal_runs):
    # Rounding decides which seeds survive, and bursts cut some plateaus short: on every machine
    # there is one that lasts until the decay.
    found = plateaus(diagonal_runs, "large")
    assert any(one is not None and abs(one.end - 50_000) < 2500 for one in found)


def test_the_papers_small_step_size_lingers_far_below_the_plateau_of_the_large_one(diagonal_runs):
    # 0.25 lies just below what stabilises: some of its runs stay at a level for a while.
    lingering = [found for found in plateaus(diagonal_runs, "small") if found is not None]
    assert all(found.level < 1e-3 for found in lingering)


@pytest.mark.parametrize(
    ("steps", "loss", "message"),
    [
        (np.arange(3), np.ones(4), "as long"),
        (np.arange(0), np.ones(0), "not empty"),
        (np.array([0, 2, 1]), np.ones(3), "increase"),
    ],
)
def test_unusable_curves_are_refused(steps, loss, message):
    with pytest.raises(ValueError, match=message):
        plateau(steps, loss)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="band must be above 1"):
        plateau(STEPS, np.ones(400), band=1.0)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([0.0, np.nan, 2.0], "steps must be finite, got nan at index"),
        ([0.0, 2.0, 1.0], "steps must increase, got 1 after 2"),
        ([-1.7e308, 0.0, 1.7e308], "within the range of a float"),
        (np.ma.masked_equal([0.0, 1.0, 2.0], 1.0), "steps must not be masked, got 1 masked"),
    ],
)
def test_steps_that_are_no_time_are_refused(steps, message):
    with pytest.raises((TypeError, ValueError), match=message):
        plateau(steps, np.ones(3))
