"""Stability at a minimum: against the dense map of second moments, and a simulation of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigvals

from largestep.metrics import coherence, critical_step_size, stability


def growth(rows, batch_size, step_size):
    """Return the largest eigenvalue of the map of second moments, stored as a matrix."""
    n, p = rows.shape
    h, one = rows.T @ rows / n, np.eye(p)
    own = sum(np.kron(np.outer(f, f), np.outer(f, f)) for f in rows) / n
    noise = own / batch_size + (1 - 1 / batch_size) * np.kron(h, h)
    moved = np.eye(p * p) - step_size * (np.kron(h, one) + np.kron(one, h)) + step_size**2 * noise
    return np.abs(eigvals(moved)).max()


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 4), st.sampled_from([1, 2, 5, 50]))
def test_the_second_moment_grows_just_above_it(seed, n, p, batch_size):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, p)) * 10.0 ** rng.uniform(-2, 1, p)
    rows = rows @ np.linalg.qr(rng.standard_normal((p, p)))[0]
    if np.linalg.matrix_rank(rows) < p:
        return  # the kernel's directions neither grow nor shrink
    critical = critical_step_size(rows, batch_size)
    assert growth(rows, batch_size, 0.99 * critical) < 1 < growth(rows, batch_size, 1.01 * critical)


def test_of_equal_rows_it_is_that_of_gradient_descent():
    row = np.array([[1.0, -2.0, 0.5]])
    for batch_size in (1, 3):
        found = critical_step_size(np.repeat(row, 4, axis=0), batch_size)
        assert found == pytest.approx(2 / (row @ row.T).item())


def test_it_grows_with_the_batch_up_to_the_sharpness_and_lies_below_the_bounds(rng):
    rows = rng.standard_normal((30, 60)) / np.arange(1, 61)
    values = np.linalg.svd(rows, compute_uv=False) ** 2 / 30
    found = [critical_step_size(rows, b) for b in (1, 2, 4, 16, 10_000)]
    assert (np.diff(found) > 0).all()
    assert found[-1] == pytest.approx(2 / values[0], rel=1e-2)
    for b, critical in zip((1, 2, 4, 16), found, strict=False):
        spectrum = {"sharpness": values[0], "trace": values.sum()}
        norm = np.sqrt(np.sum(values**2))
        bound = stability(critical, **spectrum, frobenius_norm=norm, batch_size=b)
        assert bound.sgd <= 1 + 1e-9
        assert bound.gradient_descent <= 1


def test_scale_and_order_do_not_matter(rng):
    rows = rng.standard_normal((6, 4))
    critical = critical_step_size(rows, 2)
    assert critical_step_size(rows[::-1] * 1e150, 2) == pytest.approx(critical * 1e-300)
    assert critical_step_size(rows @ np.linalg.qr(rng.standard_normal((4, 4)))[0], 2) == (
        pytest.approx(critical)
    )


def test_without_a_slope_there_is_no_threshold():
    assert critical_step_size(np.zeros((3, 2))) == np.inf
    assert np.isnan(coherence(np.zeros((3, 2))))


def test_coherence_of_orthogonal_and_of_equal_rows():
    assert coherence(3 * np.eye(4)) == pytest.approx(1)
    assert coherence(np.ones((5, 2))) == pytest.approx(5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3),), r"rows must have 2 dimension\(s\)"),
        ((np.ones((0, 3)),), "rows must hold at least one row"),
        ((np.array([[np.nan]]),), "rows must be finite"),
        ((np.ones((2, 2)), 0), "batch_size must be at least 1"),
        ((np.ones((2, 2)), 1.5), "batch_size must be an integer"),
    ],
)
def test_what_cannot_be_is_named(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        critical_step_size(*arguments)
