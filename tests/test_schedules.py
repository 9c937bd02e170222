import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from largestep.schedules import constant, decay, exponential, linear, piecewise, power

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


def test_pieces_take_over_where_they_start():
    schedule = piecewise({0.0: 1.0, 0.25: linear(0.0, 1.0), 0.75: 3.0})
    np.testing.assert_allclose(
        schedule(np.array([0.0, 0.2, 0.25, 0.5, 0.75, 1.0])), [1, 1, 0.25, 0.5, 3, 3]
    )


def test_nested_decays_divide_what_was_reached():
    schedule = decay(decay(1.0, factor=10, at=0.5), factor=10, at=0.9)
    np.testing.assert_allclose(schedule(np.array([0.1, 0.6, 0.95])), [1.0, 0.1, 0.01])


def test_the_papers_warm_ups():
    from largestep.experiments import regression_1d, three_layer

    peaks = [three_layer.WARM_UP(s)[0] for s in (0.1, 0.3, 0.5)]
    np.testing.assert_allclose(peaks, [0.103, 0.150, 0.181], atol=5e-4)
    short, long, _ = (schedule(1.0)[0] for schedule in regression_1d.SCHEDULES.values())
    assert long / short == pytest.approx(73, abs=1)


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
