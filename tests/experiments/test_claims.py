import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from largestep.experiments import Claim


def check(values, direction="below", bound=1.0, centre="median"):
    claim = Claim("It is so.", "a number", lambda _: values, direction, bound, centre)
    return claim.check({})


def test_verdicts(rng):
    low = rng.normal(0.5, 0.05, 30)
    around = rng.normal(1.0, 0.3, 30)
    assert check(low)["verdict"] == "holds"
    assert check(low, "above")["verdict"] == "does not hold"
    assert check(around)["verdict"] == "undecided"
    assert check(low + 1)["verdict"] == "does not hold"
    assert check(low + 1, "above")["verdict"] == "holds"


def test_equal_values_need_no_resampling():
    assert check([0.77] * 5)["interval"] == [0.77, 0.77]
    # A ratio of exactly one is no fall.
    assert check([1.0] * 5)["verdict"] == "does not hold"
    assert check([1.0] * 5, "above")["verdict"] == "does not hold"


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2], [np.nan] * 9, [0.1, np.nan, 0.2]])
def test_too_few_seeds_decide_nothing(values):
    found = check(values)
    assert found["verdict"] == "undecided"
    assert found["interval"] is None


def test_diverged_seeds_are_counted_and_left_out():
    found = check([0.1, np.nan, 0.2, 0.3, np.inf])
    assert (found["seeds"], found["seeds_used"], found["statistic"]) == (5, 3, 0.2)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=20))
def test_the_interval_holds_the_statistic_and_is_reproducible(values):
    first, second = check(values), check(values)
    assert first == second
    low, high = first["interval"]
    # Interpolating quantiles round.
    assert low - 1e-12 <= first["statistic"] <= high + 1e-12


def test_shares_are_means():
    found = check([1.0] * 19 + [0.0], "above", 0.5, centre="mean")
    assert found["statistic"] == pytest.approx(0.95)
    assert found["verdict"] == "holds"
