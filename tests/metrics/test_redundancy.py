import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largestep.metrics.redundancy import Moments, redundancy


def layer(seed, n=50, m=6, dtype=np.float64):
    return np.maximum(np.random.default_rng(seed).standard_normal((n, m)), 0).astype(dtype)


@given(st.integers(0, 99), st.integers(1, 49), st.sampled_from([0.0, 1e8]))
@settings(deadline=None, max_examples=25)
def test_moments_of_parts_add_up(seed, cut, offset):
    features = layer(seed) + offset
    whole, parts = Moments.of(features), Moments.of(features[:cut]) + Moments.of(features[cut:])
    assert whole.count == parts.count == 50
    np.testing.assert_allclose(parts.mean, features.mean(axis=0), rtol=1e-12)
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(parts.scatter, centred.T @ centred, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(parts.low, features.min(axis=0))
    np.testing.assert_array_equal(parts.high, features.max(axis=0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constants", [True, False])
def test_what_is_planted_is_found_and_replaced_to_rounding(dtype, constants):
    features = np.hstack([layer(0, dtype=dtype), np.zeros((50, 5), dtype)])
    features[:, 6] = 3 * features[:, 1]
    features[:, 7] = 0.7
    features[:, 8] = features[:, 2] + 2
    features[:, 9] = 1.4
    found = redundancy(Moments.of(features), constants=constants)
    found = found.confirmed(found.errors(features, found.removable), near=False)
    names = {int(unit): str(found.reason[unit]) for unit in np.flatnonzero(found.removable)}
    if constants:
        # Of a unit and its shifted copy rounding decides which has the larger spread and stays.
        shifted = 2 if 2 in names else 8
        assert names == {1: "merged", 7: "constant", shifted: "merged", 9: "constant", 10: "dead"}
    else:
        assert names == {1: "merged", 7: "merged", 10: "dead"}
    errors = found.errors(features, found.removable)
    assert (errors <= found.moments.rounding).all()
    matrix, shift = found.substitution(found.removable)
    assert (matrix[:, found.removable] == 0).all()
    replaced = features @ matrix.T + shift
    np.testing.assert_allclose(replaced, features, atol=1e-5 if dtype == np.float32 else 1e-13)


def test_a_torch_tensor_gives_the_same():
    torch = pytest.importorskip("torch")
    features = layer(1)
    features[:, 4] = 2 * features[:, 0]
    both = [redundancy(Moments.of(a), constants=True) for a in (features, torch.tensor(features))]
    np.testing.assert_array_equal(both[0].reason, both[1].reason)
    removed = both[0].removable
    np.testing.assert_allclose(
        both[0].errors(features, removed), both[1].errors(torch.tensor(features), removed)
    )


@given(st.integers(0, 99), st.sampled_from([0.5, 0.9, 0.99]), st.booleans())
@settings(deadline=None, max_examples=25)
def test_every_merged_unit_is_like_one_that_stays(seed, threshold, constants):
    rng = np.random.default_rng(seed)
    features = layer(seed, m=4)[:, rng.integers(0, 4, 9)] + 0.2 * layer(seed + 1, m=9)
    found = redundancy(
        Moments.of(features), constants=constants, correlation_threshold=threshold
    ).confirmed(np.full(9, np.inf), near=True)
    about = features - features.mean(axis=0) if constants else features
    size = np.linalg.norm(about, axis=0)
    likeness = np.abs(about.T @ about) / np.outer(size, size)
    stays = ~found.removable
    assert (likeness[found.removable, found.partner[found.removable]] > threshold).all()
    assert stays[found.partner[found.removable]].all()
    among = likeness[np.ix_(stays, stays)] - np.eye(stays.sum())
    assert (among <= threshold + 1e-12).all()


def test_near_duplicates_are_replaced_by_least_squares():
    features = layer(3)
    features[:, 5] = features[:, 0] + 0.1 * features[:, 1]
    moments = Moments.of(features)
    found = redundancy(moments, constants=True, correlation_threshold=0.95)
    found = found.confirmed(found.errors(features, found.removable), near=True)
    (goes,) = np.flatnonzero(found.removable)
    design = np.hstack([np.delete(features, goes, axis=1), np.ones((50, 1))])
    best = design @ np.linalg.lstsq(design, features[:, goes], rcond=None)[0]
    matrix, shift = found.substitution(found.removable)
    np.testing.assert_allclose((features @ matrix.T + shift)[:, goes], best, atol=1e-8)


def test_nothing_removed_is_the_identity():
    found = redundancy(Moments.of(layer(0)), constants=True)
    matrix, shift = found.substitution(np.zeros(6, dtype=bool))
    np.testing.assert_array_equal(matrix, np.eye(6))
    assert not shift.any()


def test_the_threshold_is_checked():
    with pytest.raises(ValueError, match="correlation_threshold must be above 0"):
        redundancy(Moments.of(layer(0)), constants=True, correlation_threshold=0.0)
