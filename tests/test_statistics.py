import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from largestep.statistics import (
    cliffs_delta,
    energy_test,
    holm,
    mean_interval,
    median_interval,
    share_interval,
)


def test_the_distance_is_that_of_its_definition(rng):
    x, y = rng.standard_normal(15), rng.standard_normal(15) + 0.3

    def mean(a, b):
        return np.mean(np.abs(np.subtract.outer(a, b)))

    distance, _ = energy_test(x, y, permutations=10)
    assert distance == pytest.approx(2 * mean(x, y) - mean(x, x) - mean(y, y))
    # SciPy's is its square root.
    assert distance == pytest.approx(stats.energy_distance(x, y) ** 2)


def test_p_values_are_uniform_under_equality_and_small_under_difference(rng):
    equal = [
        energy_test(rng.standard_normal(20), rng.standard_normal(20), permutations=199)[1]
        for _ in range(200)
    ]
    assert stats.kstest(equal, "uniform").pvalue > 0.01
    assert energy_test(rng.standard_normal(30), rng.standard_normal(30) + 2)[1] < 1e-3
    # A difference in spread alone is one too.
    assert energy_test(rng.standard_normal(60), 4 * rng.standard_normal(60))[1] < 0.01


def test_unusable_samples_are_refused():
    with pytest.raises(ValueError, match="as large as each other"):
        energy_test(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="y must be finite"):
        energy_test(np.ones(2), np.array([1.0, np.nan]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_bonferroni_at_the_smallest_and_never_lowers(values):
    p = np.array(values)
    corrected = holm(p)
    assert (corrected >= p).all()
    assert corrected.min() == pytest.approx(min(1.0, len(p) * p.min()))
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= -1e-15).all()


def test_holm_passes_over_missing_values():
    np.testing.assert_allclose(holm(np.array([0.01, np.nan, 0.02])), [0.02, np.nan, 0.02])


def test_cliffs_delta_counts_pairs():
    assert cliffs_delta(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.0
    assert cliffs_delta(np.array([0.0, 3.0]), np.array([1.0, 2.0])) == 0.0
    assert cliffs_delta(np.array([0.0]), np.array([1.0, 2.0])) == -1.0


def test_small_integers_do_not_wrap():
    one, two = np.array([1], np.uint8), np.array([2], np.uint8)
    assert cliffs_delta(one, two) == -1.0
    assert cliffs_delta(np.array([1, 2], np.int8), np.array([-128, 2], np.int8)) == 0.25


@pytest.mark.parametrize(
    "bad", [[np.nan, 1.0], [], [[1.0]], ["a"], np.ma.masked_equal([1.0, 9.0], 9.0), [1j]]
)
def test_what_is_no_sample_is_refused_by_name(bad):
    for call in (
        lambda: cliffs_delta(bad, np.ones(2)),
        lambda: energy_test(bad, np.ones(2)),
    ):
        with pytest.raises((TypeError, ValueError), match="x "):
            call()


def test_the_energy_test_has_no_scale(rng):
    x, y = rng.standard_normal(12), rng.standard_normal(12)
    distance, p_value = energy_test(x, y)
    for scale in (2.0**-1000, 2.0**1015):
        assert energy_test(scale * x, scale * y) == (scale * distance, p_value)
    huge = np.array([1.7e308, -1.7e308])
    assert energy_test(huge, -huge)[1] == 1.0


@pytest.mark.parametrize("bad", [[2.0], [-0.1], [[0.1]]])
def test_p_values_are_shares(bad):
    with pytest.raises(ValueError, match="p_values must"):
        holm(np.array(bad))


SIZES = (5, 20, 50)


@pytest.mark.parametrize("n", SIZES)
def test_intervals_of_shares_cover_at_least_as_often_as_they_say(n):
    intervals = [share_interval(k, n) for k in range(n + 1)]
    # Not simulated: with every number of successes the coverage is a sum. The edges count too.
    for p in np.r_[0.0, 1e-3, np.linspace(0.01, 0.99, 99), 0.999, 1.0]:
        covered = np.array([i.low <= p <= i.high for i in intervals])
        assert stats.binom.pmf(np.arange(n + 1), n, p) @ covered >= 0.95 - 1e-9
    # It is exact: a share at the end of an interval is missed on that side in 2.5 %.
    for k, interval in enumerate(intervals[1:], start=1):
        assert stats.binom.sf(k - 1, n, interval.low) == pytest.approx(0.025)


def test_an_interval_of_a_share_is_never_a_point():
    assert share_interval(5, 5).low == pytest.approx(0.478, abs=1e-3)
    assert share_interval(0, 20).high == pytest.approx(0.168, abs=1e-3)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("law", ["normal", "lognormal", "cauchy", "ties"])
def test_intervals_of_medians_cover_whatever_the_law(n, law, rng):
    draws = {
        "normal": lambda size: rng.standard_normal(size),
        "lognormal": lambda size: rng.lognormal(sigma=2.0, size=size) - 1.0,
        "cauchy": lambda size: rng.standard_cauchy(size),
        "ties": lambda size: np.round(rng.standard_normal(size)),
    }
    samples = draws[law]((4000, n))
    intervals = [median_interval(sample) for sample in samples]
    coverage = np.mean([i.low <= 0.0 <= i.high for i in intervals])
    level = intervals[0].level
    # 95 % within 1.5, or more where the method's steps are wide, and then it says so.
    assert 0.935 <= level <= 0.97
    if law == "ties":
        assert coverage >= level - 0.01
    else:
        assert coverage == pytest.approx(level, abs=0.012)


@pytest.mark.parametrize("n", SIZES)
def test_intervals_of_means_cover_normal_values(n, rng):
    samples = rng.standard_normal((4000, n))
    intervals = [mean_interval(sample) for sample in samples]
    assert np.mean([i.low <= 0.0 <= i.high for i in intervals]) == pytest.approx(0.95, abs=0.015)
    low, high = stats.t.interval(0.95, n - 1, samples[0].mean(), stats.sem(samples[0]))
    assert intervals[0][:2] == pytest.approx((low, high))


def test_too_few_values_have_no_interval():
    assert median_interval(np.arange(4.0)) is None
    assert median_interval(np.empty(0)) is None
    assert mean_interval(np.array([1.0, 2.0])) is None
    # A mean of values that are all equal has no spread to go by.
    assert mean_interval(np.full(9, 0.7)) is None
    with pytest.raises(ValueError, match="yes must be at most n = 3, got 4"):
        share_interval(4, 3)
    with pytest.raises(ValueError, match="n"):
        share_interval(0, 0)
