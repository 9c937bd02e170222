import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from largestep.experiments import Claim, find
from largestep.experiments.claims import Control


def check(values, direction="below", bound=1.0, centre="median", control=None):
    against = None if control is None else Control("something", lambda _: control)
    return Claim(
        "It is so.", "a number", lambda _: values, direction, bound, centre, against
    ).check({})


def test_verdicts(rng):
    low = rng.normal(0.5, 0.05, 30)
    around = rng.normal(1.0, 0.3, 30)
    assert check(low)["verdict"] == "holds"
    assert check(low, "above")["verdict"] == "does not hold"
    assert check(around)["verdict"] == "undecided"
    assert check(low + 1)["verdict"] == "does not hold"
    assert check(low + 1, "above")["verdict"] == "holds"


def test_within_takes_two_bounds(rng):
    near = rng.normal(1.0, 0.02, 20)
    assert check(near, "within", (0.9, 1.1))["verdict"] == "holds"
    for away in (near - 0.3, near + 0.3):
        assert check(away, "within", (0.9, 1.1))["verdict"] == "does not hold"
    assert check(near, "within", (0.9, 1.0))["verdict"] == "undecided"


def test_a_ratio_of_exactly_one_is_no_fall():
    assert check([1.0] * 6)["verdict"] == "does not hold"
    assert check([1.0] * 6, "above")["verdict"] == "does not hold"


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.2], [0.1, np.nan, 0.2], [0.1, 0.2, 0.3, 0.4]])
def test_too_few_seeds_decide_nothing_and_it_is_said_how_many_would(values):
    found = check(values)
    assert found["verdict"] == "undecided"
    assert found["interval"] is None
    assert found["undecided_because"].startswith("5 seeds like these would decide")


@pytest.mark.parametrize("values", [[], [np.nan] * 9])
def test_where_all_have_diverged_it_is_said(values):
    found = check(values)
    assert found["verdict"] == "undecided"
    assert found["statistic"] is None
    assert found["undecided_because"].startswith("none of the seeds has a value")


def test_diverged_seeds_are_counted_and_left_out():
    found = check([0.1, np.nan, 0.2, 0.3, np.inf])
    assert (found["seeds"], found["seeds_used"], found["statistic"]) == (5, 3, 0.2)


def test_twenty_of_twenty_leave_nine_in_ten_open_and_thirty_six_decide_it():
    found = check([1.0] * 20, "above", 0.9, "mean")
    assert found["interval"] == pytest.approx([0.832, 1.0], abs=1e-3)
    assert found["undecided_because"] == "36 seeds like these would decide, 20 do not"
    assert check([1.0] * 35, "above", 0.9, "mean")["verdict"] == "undecided"
    assert check([1.0] * 36, "above", 0.9, "mean")["verdict"] == "holds"


def test_what_no_number_of_seeds_would_decide_is_said():
    found = check([0.9, 1.1] * 4)
    assert found["undecided_because"] == "1000 seeds like these would not decide either"


def test_the_method_and_its_level_are_recorded():
    assert check(np.arange(20.0))["method"] == "order statistics, exact"
    assert check(np.arange(5.0))["level"] == 0.9375
    assert check([1.0, 0.0, 1.0], centre="mean")["method"] == "Clopper–Pearson, exact"
    assert check([1.0, 0.5, 0.2], centre="mean")["method"] == "Student's t"


@pytest.mark.parametrize(
    ("control", "verdict"),
    [
        ([0.5] * 9, "not discriminating"),
        ([2.0] * 9, "holds"),
        ([0.5, 1.5] * 5, "holds"),
        ([np.nan] * 9, "undecided"),
    ],
)
def test_a_claim_must_fail_of_its_control(control, verdict):
    found = check([0.5] * 9, control=control)
    assert found["verdict"] == verdict
    assert found["control"]["what"] == "something"
    if verdict == "undecided":
        assert found["undecided_because"] == "the control has no value"


def test_a_control_changes_nothing_of_what_fails():
    assert check([2.0] * 9, control=[0.5] * 9)["verdict"] == "does not hold"


def test_of_several_quantities_the_one_that_says_least_counts(rng):
    well, badly = rng.normal(0.5, 0.01, 12), rng.normal(0.9, 0.01, 12)
    found = check(np.stack([well, badly], axis=1))
    assert (found["verdict"], found["statistic"]) == ("holds", np.median(badly))
    assert check(np.stack([well, badly + 0.2], axis=1))["verdict"] == "does not hold"
    assert check(np.stack([well, badly, [np.nan] * 12], axis=1))["verdict"] == "undecided"


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=20))
def test_the_interval_holds_the_statistic_and_is_reproducible(values):
    first, second = check(values), check(values)
    assert first == second
    low, high = first["interval"]
    assert low - 1e-12 <= first["statistic"] <= high + 1e-12


def test_absolute_values_stand_beside_a_ratio():
    claim = Claim(
        "It falls.",
        "ratio",
        lambda r: r / 2,
        "below",
        1.0,
        beside={"before": lambda r: r, "nothing": lambda r: r * np.nan},
    )
    assert claim.check(np.arange(5.0))["beside"] == {"before": 2.0, "nothing": None}


@pytest.mark.parametrize("name", [n for n, e in find().items() if e.paper.whose != "other papers"])
def test_every_claim_has_a_control(name):
    for claim in find()[name].claims:
        assert claim.control is not None, claim.sentence
        assert claim.whose in (None, "the talk", "our own", "rivals", "other papers")
