import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from largestep.schedules import Schedule, constant, decay, exponential, linear, piecewise, power

sizes = st.floats(1e-4, 10.0)
fractions = st.floats(0.0, 1.0)


@given(sizes, sizes, fractions, st.floats(1.0, 50.0))
def test_decay_follows_then_divides(start, end, at, factor):
    before = linear(start, end)
    schedule = decay(before, factor=factor, at=at)
    t = np.linspace(0, 1, 101)
    expected = np.where(t < at, before(t), before(at) / factor)
    np.testing.assert_allclose(schedule(t), expected)


@given(sizes, sizes, st.floats(0.1, 4.0), st.floats(0.05, 1.0))
def test_ramps_go_from_start_to_end_and_stay(start, end, exponent, until):
    t = np.linspace(0, 1, 200)
    for ramp in (
        linear(start, end, until=until),
        power(start, end, exponent=exponent, until=until),
        exponential(start, end, until=until),
    ):
        values = ramp(t)
        assert ramp(0.0)[0] == pytest.approx(start)
        np.testing.assert_allclose(values[t >= until], end, rtol=1e-12, atol=1e-14 * start)
        steps = np.diff(values) * np.sign(end - start)
        assert (steps >= -1e-12 * max(start, end)).all()


@given(sizes, sizes, fractions)
def test_values_are_finite_and_never_negative(first, second, at):
    t = np.linspace(0, 1, 50)
    pieces = piecewise({0.0: exponential(first, second), max(at, 1e-3): second})
    for schedule in (
        constant(first),
        pieces,
        2 * pieces,
        pieces / 3,
        decay(pieces, factor=2, at=at),
    ):
        values = schedule(t)
        assert values.shape == t.shape
        assert np.isfinite(values).all()
        assert (values >= 0).all()


@given(sizes, st.floats(1.0, 50.0), st.floats(1.0, 50.0), fractions, fractions)
def test_the_later_of_two_decays_divides_the_earlier(before, first, second, one, other):
    inner, outer = sorted([one, other])
    assume(outer - inner > 1e-6)
    schedule = decay(decay(before, factor=first, at=inner), factor=second, at=outer)
    assert schedule(1.0)[0] == pytest.approx(before / first / second)
    between = schedule(np.linspace(inner, outer, 5, endpoint=False))
    np.testing.assert_allclose(between, before / first)


@given(
    st.lists(st.floats(1e-6, 1.0), max_size=5, unique=True).map(sorted),
    st.lists(fractions, min_size=1, max_size=20),
)
def test_the_piece_in_force_is_the_last_that_has_started(later, t):
    starts = [0.0, *later]
    schedule = piecewise({at: float(k) for k, at in enumerate(starts)})
    expected = [max(k for k, at in enumerate(starts) if at <= one) for one in t]
    np.testing.assert_array_equal(schedule(np.array(t)), expected)


@given(sizes, sizes, st.floats(0.01, 100.0))
def test_a_scaled_schedule_is_the_schedule_times_the_factor(start, end, factor):
    schedule = decay(linear(start, end), factor=3, at=0.4)
    t = np.linspace(0, 1, 33)
    np.testing.assert_allclose((factor * schedule)(t), factor * schedule(t))
    np.testing.assert_allclose((schedule * factor)(t), factor * schedule(t))
    np.testing.assert_allclose((schedule / factor)(t), schedule(t) / factor)


@given(st.lists(fractions, min_size=2, max_size=20))
def test_a_value_depends_on_its_own_fraction_alone(t):
    schedule = piecewise(
        {0.0: power(0.1, 1.0, exponent=0.5, until=0.3), 0.6: exponential(1.0, 0.1)}
    )
    np.testing.assert_array_equal(schedule(np.array(t)), [schedule(one)[0] for one in t])


def test_ramps_agree_with_their_formulas_on_the_way():
    t = np.linspace(0, 0.8, 9)
    progress = t / 0.8
    np.testing.assert_allclose(linear(0.1, 0.5, until=0.8)(t), 0.1 + 0.4 * progress)
    np.testing.assert_allclose(power(0.5, 0.1, exponent=2.0, until=0.8)(t), 0.5 - 0.4 * progress**2)
    np.testing.assert_allclose(exponential(0.1, 0.5, until=0.8)(t), 0.1 * 5**progress)


def test_pieces_take_over_where_they_start():
    schedule = piecewise({0.0: 1.0, 0.25: linear(0.0, 1.0), 0.75: 3.0})
    np.testing.assert_allclose(
        schedule(np.array([0.0, 0.2, 0.25, 0.5, 0.75, 1.0])), [1, 1, 0.25, 0.5, 3, 3]
    )


def test_nested_decays_divide_what_was_reached():
    schedule = decay(decay(1.0, factor=10, at=0.5), factor=10, at=0.9)
    np.testing.assert_allclose(schedule(np.array([0.1, 0.6, 0.95])), [1.0, 0.1, 0.01])


def test_the_papers_warm_ups():
    from largestep.experiments import get

    _, *large = get("three-layer").its_setting().schedules.values()
    peaks = [schedule(s - 1e-9)[0] for schedule, s in zip(large, (0.1, 0.3, 0.5), strict=True)]
    np.testing.assert_allclose(peaks, [0.103, 0.150, 0.181], atol=5e-4)
    short, long, _ = (s(1.0)[0] for s in get("regression-1d").its_setting().schedules.values())
    assert long / short == pytest.approx(73, abs=1)


@pytest.mark.parametrize(
    ("until", "divisor", "peak"), [(0.1, 3.5, 0.103), (0.3, 2.5, 0.150), (0.5, 5, 0.181)]
)
def test_the_three_layer_warm_up_can_be_written_down(until, divisor, peak):
    schedule = decay(power(0.04, 0.24, exponent=0.5), factor=divisor, at=until)
    t = np.linspace(0, until, 50, endpoint=False)
    np.testing.assert_allclose(schedule(t), 0.04 * (1 + 5 * np.sqrt(t)))
    assert divisor * schedule(until)[0] == pytest.approx(peak, abs=5e-4)
    np.testing.assert_allclose(schedule(np.array([until, 1.0])), schedule(until)[0])


def test_the_two_late_step_sizes_of_regression_1d_differ_73_fold():
    def late(until, divisor):
        steepness = 400 * until
        schedule = decay(linear(0.0002, 0.0002 * steepness), factor=divisor, at=until)
        t = np.linspace(0, until, 50, endpoint=False)
        np.testing.assert_allclose(schedule(t), 0.0002 * (1 + (steepness - 1) * t))
        return schedule(1.0)[0]

    assert late(0.5, 3) / late(0.02, 2.5) == pytest.approx(73.5, abs=0.1)


def test_schedules_say_what_they_are():
    assert repr(constant(0.25)) == "0.25"
    assert repr(decay(0.282, factor=1.5, at=0.5)) == "0.282, divided by 1.5 at 50%"
    assert repr(linear(0.0, 0.1, until=0.2)) == "0 → 0.1 linearly by 0.2"
    assert repr(power(0.04, 0.24, exponent=0.5)) == "0.04 → 0.24 as √t"
    assert repr(exponential(0.1, 1.0)) == "0.1 → 1 exponentially"
    assert repr(2 * constant(1.0)) == "2 × (1)"
    assert repr(piecewise({0.0: 1.0, 0.5: 2.0})) == "from 0%: 1; from 50%: 2"


@pytest.mark.parametrize(
    "make",
    [
        lambda: constant(np.nan),
        lambda: constant(-0.1),
        lambda: constant(np.inf),
        lambda: linear(0.1, -0.1),
        lambda: exponential(0.0, 1.0),
        lambda: power(0.0, 1.0, exponent=0.0),
        lambda: linear(0.0, 1.0, until=0.0),
        lambda: decay(0.1, factor=0.0, at=0.5),
        lambda: decay(0.1, factor=2.0, at=1.5),
        lambda: piecewise({}),
        lambda: piecewise({0.5: 1.0}),
        lambda: piecewise({0.0: 1.0, 0.7: 1.0, 0.3: 1.0}),
        lambda: piecewise({0.0: 1.0, np.nan: 1.0}),
        lambda: piecewise({0.0: -1.0}),
        lambda: decay(0.1, factor=2.0, at=np.nan),
        lambda: decay(0.1, factor=np.inf, at=0.5),
        lambda: -1.0 * constant(1.0),
        lambda: np.nan * constant(1.0),
        lambda: constant(1.0) / 0.0,
        lambda: constant(1.0)(-0.1),
        lambda: constant(1.0)(1.5),
        lambda: constant(1.0)(np.nan),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


def test_text_is_not_a_step_size():
    with pytest.raises(TypeError, match=r"step_size must be a number, got '0\.1'"):
        constant("0.1")


def test_extreme_ramps_do_not_overflow():
    values = exponential(1e-300, 1e300)(np.linspace(0, 1, 5))
    np.testing.assert_allclose(values, [1e-300, 1e-150, 1.0, 1e150, 1e300], rtol=1e-9)


def test_pieces_may_be_many():
    pieces = {i / 100: float(i + 1) for i in range(100)}
    np.testing.assert_array_equal(piecewise(pieces)(np.arange(100) / 100), np.arange(1.0, 101.0))


def test_a_step_size_is_never_infinite():
    with pytest.raises(ValueError, match="factor must leave a finite step size, got 1e-300"):
        decay(1e10, factor=1e-300, at=0.5)
    with pytest.raises(ValueError, match="must be finite and not negative, got inf"):
        (1e300 * constant(1e10))(0.0)
    with pytest.raises(ValueError, match="before must be at least 0"):
        decay(-1.0, factor=2.0, at=0.5)
    with pytest.raises(ValueError, match=r"start must be finite, got 1000"):
        linear(10**400, 1)


def test_a_schedule_of_ones_own_gives_a_step_size_for_each_t():
    class Two(Schedule):
        def _at(self, t):
            return np.ones(2)

    with pytest.raises(ValueError, match=r"for each t, \(3,\), got \(2,\)"):
        Two()(np.zeros(3))
