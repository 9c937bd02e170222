import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from largestep.metrics import feature_sparsity, sparsity


def by_definition(x, threshold, normalize=False):
    """Scan the units in index order and drop one when one that still stands is like it."""
    if normalize:
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.where(norms > 0, norms, 1)
    standing = [j for j in range(x.shape[1]) if (x[:, j] > 0).any()]
    for i in list(standing):
        others = [j for j in standing if j != i and np.ptp(x[:, j]) > 1e-12]
        if np.ptp(x[:, i]) > 1e-12 and any(
            abs(np.corrcoef(x[:, i], x[:, j])[0, 1]) > threshold for j in others
        ):
            standing.remove(i)
    return standing


small_layers = arrays(
    np.float64,
    st.tuples(st.integers(2, 7), st.integers(1, 9)),
    elements=st.integers(-2, 3).map(float),
)


# Small integers correlate by simple fractions' roots: thresholds that none of them equals.
@given(small_layers, st.sampled_from([0.4987, 0.9003, 0.9901]), st.booleans())
@settings(deadline=None)
def test_the_definition_is_met(x, threshold, normalize):
    found = feature_sparsity(x, threshold, normalize=normalize)
    kept = by_definition(x, threshold, normalize)
    assert found.kept.tolist() == kept
    assert found.distinct == pytest.approx(
        (x[:, kept] > 0).mean() * len(kept) / x.shape[1] if kept else 0
    )
    assert 0 <= found.distinct <= found.raw + 1e-15 <= 1 + 1e-15
    assert len(found.kept) == x.shape[1] - found.dead - found.merged


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 7), st.integers(0, 10**6))
@settings(deadline=None)
def test_a_stack_of_layers_is_measured_as_each_of_them(k, n, m, seed):
    rng = np.random.default_rng(seed)
    stack = np.maximum(rng.integers(-2, 4, size=(k, n, m)), 0.0)  # many dead, constant and alike
    stack *= rng.choice([1.0, 1e-200, 1e200], size=(k, 1, 1))
    stack[:, :, 0] = 3.0 * stack[:, :, -1]
    each = [feature_sparsity(layer, 0.9901, normalize=True).distinct for layer in stack]
    np.testing.assert_array_equal(sparsity.distinct_shares(stack, 0.9901), each)


def test_a_stack_is_measured_in_parts_and_its_errors_name_the_unit(rng, monkeypatch):
    stack = np.maximum(rng.standard_normal((9, 6, 5)), 0.0)
    whole = sparsity.distinct_shares(stack, 0.9)
    monkeypatch.setattr(sparsity, "_STACK_BYTES", 8 * 5 * 6 * 2)
    np.testing.assert_array_equal(sparsity.distinct_shares(stack, 0.9), whole)
    assert sparsity.distinct_shares(stack[:0], 0.9).shape == (0,)
    below = stack + 0.1
    below[:, :, -1] = -2.0 * below[:, :, 0]  # dead, and correlated with one that lives
    each = [feature_sparsity(layer, 0.9, normalize=True).distinct for layer in below]
    np.testing.assert_array_equal(sparsity.distinct_shares(below, 0.9), each)
    stack[4, 3, 2] = np.nan
    with pytest.raises(ValueError, match="nan for unit 2 at input 3"):
        sparsity.distinct_shares(stack, 0.9)


@given(st.integers(0, 50))
@settings(deadline=None)
def test_order_of_inputs_and_scale_of_units_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.standard_normal((12, 9)), 0)
    reference = feature_sparsity(x, 0.8)
    shuffled = feature_sparsity(x[rng.permutation(12)], 0.8)
    scaled = feature_sparsity(x * rng.uniform(0.1, 10, 9), 0.8)
    for found in (shuffled, scaled):
        np.testing.assert_array_equal(found.kept, reference.kept)
        assert found.distinct == pytest.approx(reference.distinct)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threshold", [0.95, 0.999, 1.0])
def test_planted_duplicates_are_merged_exactly(rng, dtype, threshold):
    originals = np.maximum(rng.standard_normal((500, 20)), 0).astype(dtype)
    copies = originals[:, [3, 3, 7]] * np.array([2.0, 0.1, 30.0], dtype)
    dead = -np.ones((500, 4), dtype)
    found = feature_sparsity(np.hstack([originals, copies, dead]), threshold)
    assert (found.merged, found.dead) == (3, 4)
    # The last of a group stays.
    assert set(range(27)) - set(found.kept) == {3, 20, 7, 23, 24, 25, 26}


def test_negative_correlation_merges_and_constants_never_do():
    rising = np.array([0.0, 1.0, 2.0, 3.0])
    x = np.column_stack([rising, 3 - rising, np.full(4, 0.1), np.full(4, 0.1)])
    assert feature_sparsity(x).kept.tolist() == [1, 2, 3]


def test_a_constant_is_constant_in_spite_of_rounding(rng):
    x = np.full((1001, 2), 0.1, dtype=np.float32) + 100
    assert feature_sparsity(x).merged == 0


def test_all_dead_and_single_input():
    dead = feature_sparsity(np.zeros((5, 3)))
    assert (dead.raw, dead.distinct, dead.dead, dead.kept.tolist()) == (0, 0, 3, [])
    single = feature_sparsity(np.array([[1.0, 2.0, 1.0, 0.0]]))
    assert single.kept.tolist() == [1, 2]


def test_blocks_change_nothing(rng, monkeypatch):
    x = np.maximum(rng.standard_normal((30, 40)), 0)
    x[:, 35] = x[:, 2]
    for normalize in (False, True):
        reference = feature_sparsity(x, 0.5, normalize=normalize)
        with monkeypatch.context() as patch:
            patch.setattr(sparsity, "_BLOCK_UNITS", 7)
            found = feature_sparsity(x, 0.5, normalize=normalize)
        np.testing.assert_array_equal(found.kept, reference.kept)


def test_duplicates_are_found_at_threshold_one_for_many_inputs(rng):
    for n in (50, 5000):
        x = np.maximum(rng.standard_normal((n, 6)), 0)
        x = np.hstack([x, 3.7 * x + 0.3, np.pi * x])
        assert feature_sparsity(x, 1.0).merged == 12
        noisy = x + 1e-4 * rng.standard_normal(x.shape)
        assert feature_sparsity(noisy, 1.0).merged == 0


def test_sizes_that_overflow_when_squared(rng):
    x = np.maximum(rng.standard_normal((30, 10)), 0)
    x[:, 9] = x[:, 0]
    reference = feature_sparsity(x, 0.6, normalize=True)
    for scale in (1e200, 1e-200):
        found = feature_sparsity(x * scale, 0.6, normalize=True)
        np.testing.assert_array_equal(found.kept, reference.kept)


def test_autocast_does_not_blunt_the_correlations(rng):
    torch = pytest.importorskip("torch")
    x = torch.tensor(np.maximum(rng.standard_normal((400, 8)), 0), dtype=torch.float32)
    close = torch.hstack([x, x + 0.06 * torch.rand(400, 8)])
    reference = feature_sparsity(close, 0.9995)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert feature_sparsity(close, 0.9995).merged == reference.merged


def test_the_memory_is_bounded_when_inputs_are_few(rng):
    x = rng.standard_normal((5, 12_000)).astype(np.float32)
    tracemalloc.start()
    feature_sparsity(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6


def test_layouts_and_types(rng):
    x = rng.integers(0, 3, size=(20, 8))
    reference = feature_sparsity(x.astype(float))
    read_only = x.astype(float)
    read_only.flags.writeable = False
    strided = np.repeat(x.astype(float), 2, axis=1)[:, ::2]
    for variant in (x, read_only, strided, np.asfortranarray(x), x.astype(np.float32)):
        np.testing.assert_array_equal(feature_sparsity(variant).kept, reference.kept)
    assert feature_sparsity(x > 0).raw == pytest.approx((x > 0).mean())


def test_torch_tensors_of_every_precision_give_the_same(rng):
    torch = pytest.importorskip("torch")
    x = np.maximum(rng.integers(-3, 4, size=(50, 12)), 0).astype(float)
    reference = feature_sparsity(x, 0.6, normalize=True)
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64):
        found = feature_sparsity(torch.tensor(x).to(dtype), 0.6, normalize=True)
        np.testing.assert_array_equal(found.kept, reference.kept)
        assert isinstance(found.kept, np.ndarray)
    with_gradient = torch.tensor(x, requires_grad=True)
    assert feature_sparsity(with_gradient, 0.6, normalize=True).distinct == reference.distinct
    assert with_gradient.requires_grad


def test_a_subset_of_units_is_reproducible(rng):
    x = np.maximum(rng.standard_normal((10, 100)), 0)
    first, second = (feature_sparsity(x, max_units=30, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.kept, second.kept)
    assert first.units == 30
    assert set(first.kept) <= set(range(100))
    other = feature_sparsity(x, max_units=30, seed=2)
    assert other.kept.tolist() != first.kept.tolist()
    assert feature_sparsity(x, max_units=1000).units == 100


def test_errors_name_the_unit_of_the_array_that_was_given():
    x = np.ones((3, 50))
    x[1, 40] = np.nan
    for seed in range(5):
        drawn = np.random.default_rng(seed).choice(50, size=40, replace=False)
        if 40 in drawn:
            with pytest.raises(ValueError, match="nan for unit 40 at input 1"):
                feature_sparsity(x, max_units=40, seed=seed)


@pytest.mark.parametrize(
    ("x", "settings", "error", "message"),
    [
        (np.ones(3), {}, ValueError, r"got shape \(3,\): flatten"),
        (np.ones((2, 3, 4)), {}, ValueError, "flatten"),
        (np.ones((0, 3)), {}, ValueError, "at least one input"),
        (np.ones((3, 0)), {}, ValueError, "at least one input"),
        (np.ones((2, 2), complex), {}, TypeError, "real numbers"),
        (np.full((2, 2), "a"), {}, TypeError, "real numbers"),
        (
            [[1.0, 2.0]],
            {},
            TypeError,
            r"NumPy array or a PyTorch tensor, got \[\[1.0, 2.0\]\] \(list\)",
        ),
        (np.array([[1.0, 2.0], [0.0, np.nan]]), {}, ValueError, "nan for unit 1 at input 1"),
        (np.array([[1.0, np.inf]]), {}, ValueError, "inf for unit 1 at input 0"),
        (np.ones((2, 2)), {"correlation_threshold": 0.0}, ValueError, "above 0"),
        (np.ones((2, 2)), {"correlation_threshold": 1.5}, ValueError, "at most 1"),
        (np.ones((2, 2)), {"correlation_threshold": np.nan}, ValueError, "finite"),
        (np.ones((2, 2)), {"max_units": 0}, ValueError, "max_units"),
    ],
)
def test_bad_input_is_refused(x, settings, error, message):
    with pytest.raises(error, match=message):
        feature_sparsity(x, **settings)
