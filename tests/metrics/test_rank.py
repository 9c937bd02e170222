import inspect
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from largestep.metrics import (
    effective_rank,
    jacobian_rank,
    nonzero_coordinates,
    rank,
    singular_values,
)


def matrix_of_rank(rank, n, p, seed):
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((n, rank)))[0]
    right = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    return (left * rng.uniform(0.5, 2.0, rank)) @ right.T


@given(st.integers(1, 8), st.integers(0, 10), st.integers(0, 10), st.integers(0, 99))
def test_known_ranks_are_found(rank, extra_rows, extra_columns, seed):
    matrix = matrix_of_rank(rank, rank + extra_rows, rank + extra_columns, seed)
    assert jacobian_rank(matrix, 1e-10) == rank
    assert 1.0 - 1e-9 <= effective_rank(matrix) <= rank + 1e-6


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_singular_values_are_those_of_numpy(n, p, seed):
    matrix = np.random.default_rng(seed).standard_normal((n, p))
    np.testing.assert_allclose(singular_values(matrix), np.linalg.svdvals(matrix), rtol=1e-10)


def test_stacks_orders_and_types(rng):
    stack = rng.standard_normal((2, 3, 6, 4))
    values = singular_values(stack)
    assert values.shape == (2, 3, 4)
    np.testing.assert_allclose(values, np.linalg.svdvals(stack))
    one = stack[0, 0]
    for variant in (np.asfortranarray(one), one[::-1][::-1], one.astype(np.float32)):
        np.testing.assert_allclose(singular_values(variant), values[0, 0], rtol=1e-6)
    one.flags.writeable = False
    before = one.copy()
    singular_values(one)
    np.testing.assert_array_equal(one, before)
    np.testing.assert_array_equal(jacobian_rank(stack), np.full((2, 3), 4))


def test_effective_rank_counts_equal_directions(rng):
    orthogonal = np.linalg.qr(rng.standard_normal((9, 5)))[0]
    assert effective_rank(7.0 * orthogonal) == pytest.approx(5.0)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99), st.floats(1e-6, 1e6))
def test_neither_scale_nor_transposition_changes_a_rank(n, p, seed, scale):
    matrix = np.random.default_rng(seed).standard_normal((n, p))
    assert jacobian_rank(scale * matrix.T) == jacobian_rank(matrix)
    assert effective_rank(scale * matrix.T) == pytest.approx(effective_rank(matrix))


def test_the_tolerance_is_a_share_of_the_largest_singular_value():
    matrix = 100 * np.diag([1.0, 1e-3, 1e-6])
    assert [jacobian_rank(matrix, share) for share in (0.0, 1e-5, 1e-2, 1.0)] == [3, 2, 1, 0]


def test_every_matrix_of_a_stack_is_measured_by_itself():
    stack = np.stack([np.zeros((3, 3)), np.eye(3), 1e-9 * np.diag([1.0, 1.0, 0.0])])
    np.testing.assert_array_equal(jacobian_rank(stack), [0, 3, 2])
    np.testing.assert_allclose(effective_rank(stack), [0, 3, 2])


def test_strided_views_are_read_and_left_as_they_are(rng):
    whole = rng.standard_normal((3, 10, 8))
    before = whole.copy()
    for view in (whole[:, ::2, ::-1], whole.transpose(2, 0, 1), whole[0, :, 1:2], whole[0].T):
        np.testing.assert_allclose(singular_values(view), np.linalg.svdvals(view), rtol=1e-10)
    np.testing.assert_array_equal(whole, before)


def test_threads_do_not_disturb_each_other(rng):
    matrices = rng.standard_normal((64, 30, 20))
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(singular_values, matrices))
    np.testing.assert_array_equal(together, singular_values(matrices))


def test_nothing_has_rank_zero():
    assert jacobian_rank(np.zeros((3, 2))) == 0
    assert effective_rank(np.zeros((3, 2))) == 0.0
    assert nonzero_coordinates(np.zeros(4)) == 0


def test_coordinates_are_counted_relative_to_the_largest():
    coefficients = np.array([[1e-3, -2.0, 1e-7], [0.0, 0.0, 5e-9]])
    np.testing.assert_array_equal(nonzero_coordinates(coefficients), [2, 1])
    np.testing.assert_array_equal(nonzero_coordinates(coefficients, 1e-2), [1, 1])


def test_torch_tensors_give_the_same(rng):
    torch = pytest.importorskip("torch")
    matrix = matrix_of_rank(3, 8, 5, 0)
    tensor = torch.tensor(matrix)
    assert jacobian_rank(tensor) == 3
    assert effective_rank(tensor) == pytest.approx(effective_rank(matrix))
    assert nonzero_coordinates(torch.tensor([1.0, 0.0, 2.0])) == 2
    stack = torch.stack([tensor, torch.zeros_like(tensor)])
    assert jacobian_rank(stack).tolist() == [3, 0]
    np.testing.assert_allclose(effective_rank(stack)[0], effective_rank(matrix))
    np.testing.assert_allclose(singular_values(stack)[0], singular_values(matrix), atol=1e-12)
    with pytest.raises(ValueError, match="finite"):
        jacobian_rank(tensor / 0.0)


@pytest.mark.parametrize("matrix", [np.ones(3), np.ones((0, 3)), np.ones((2, 3, 0))])
def test_shapes_without_a_matrix_are_refused(matrix):
    with pytest.raises(ValueError, match="must have shape"):
        singular_values(matrix)


def test_unusable_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        jacobian_rank(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match="finite"):
        effective_rank(np.stack([np.eye(2), np.full((2, 2), -np.inf)]))
    with pytest.raises(ValueError, match="relative_tolerance must be finite"):
        jacobian_rank(np.eye(2), np.nan)
    with pytest.raises(ValueError, match="relative_tolerance must be at least 0"):
        jacobian_rank(np.eye(2), -1.0)
    with pytest.raises(ValueError, match="must not be empty"):
        nonzero_coordinates(np.zeros((3, 0)))
    for unusable in (np.nan, np.inf):
        with pytest.raises(ValueError, match="coefficients must be finite"):
            nonzero_coordinates(np.array([[1.0, 2.0], [unusable, 3.0]]))


def test_complex_numbers_are_refused():
    torch = pytest.importorskip("torch")
    for matrix in (np.eye(2) * 1j, torch.eye(2, dtype=torch.complex64)):
        with pytest.raises(TypeError, match=r"real numbers, got dtype.*complex"):
            singular_values(matrix)


def test_tensors_that_require_a_gradient_are_measured_without_one():
    torch = pytest.importorskip("torch")
    tensor = torch.diag(torch.tensor([1.0, 2.0, 3.0])).requires_grad_()
    assert effective_rank(tensor) == pytest.approx(effective_rank(tensor.detach().numpy()))
    assert jacobian_rank(tensor) == 3
    assert not singular_values(torch.stack([tensor, tensor])).requires_grad
    assert tensor.requires_grad


@pytest.mark.parametrize("metric", [effective_rank, jacobian_rank, singular_values])
def test_half_precision_and_integers_are_measured_in_a_wider_one(metric):
    torch = pytest.importorskip("torch")
    matrix = np.diag([4.0, 2.0, 0.0])
    expected = metric(matrix)
    for like in (
        matrix.astype(np.float16),
        matrix.astype(np.uint8),
        matrix.astype(np.longdouble),
        torch.from_numpy(matrix).half(),
        torch.from_numpy(matrix).int(),
        torch.from_numpy(matrix).requires_grad_(),
    ):
        np.testing.assert_allclose(np.asarray(metric(like)), np.asarray(expected), rtol=1e-6)


@pytest.mark.parametrize("metric", [effective_rank, jacobian_rank, nonzero_coordinates])
def test_what_cannot_be_measured_is_named(metric):
    (name, *_) = inspect.signature(metric).parameters
    ones = np.ones((2, 2))
    for bad in (
        np.ma.masked_array(ones, mask=[[0, 1], [0, 0]]),
        ones * 1j,
        ones.astype(object),
        ones.tolist(),
        np.full((2, 2), np.inf),
        np.ones((2, 0)),
        None,
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must"):
            metric(bad)
    if metric is not nonzero_coordinates:
        with pytest.raises(ValueError, match=r"entries up to 1\.7e\+308"):
            metric(1.7e308 * ones)


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0.0, 9.0),
    st.sampled_from([1.0, 1e-170, 1e170]),
    st.integers(0, 10**6),
)
def test_squares_count_what_singular_values_do(n, p, decades, scale, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, p)) * np.geomspace(scale, scale * 10**-decades, p)
    matrix = matrix[:, rng.integers(0, p, p)]  # some columns twice
    values = np.linalg.svdvals(matrix)
    for shares in ([1e-4], [0.3, 1e-2, 1e-5], [1e-12, 0.5]):
        counts = [np.sum(values > share * values[0]) for share in shares]
        np.testing.assert_array_equal(rank.count_above(matrix, np.array(shares)), counts)


@pytest.mark.parametrize("near", [1.0 - 1e-12, 1.0 + 1e-12])
def test_what_squares_cannot_tell_is_decomposed(near, monkeypatch):
    asked = []
    decompose = rank._lapack_singular_values
    monkeypatch.setattr(
        rank, "_lapack_singular_values", lambda matrix: asked.append(1) or decompose(matrix)
    )
    assert jacobian_rank(np.diag([1.0, 1e-4 * near]), 1e-4) == 1 + (near > 1.0)
    assert asked
    asked.clear()
    assert jacobian_rank(np.diag([1.0, 1.1e-4]), 1e-4) == 2
    assert not asked
