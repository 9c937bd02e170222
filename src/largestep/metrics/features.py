"""The feature sparsity coefficient: how many distinct units of a layer are active."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array

from largestep import checks

__all__ = ["FeatureSparsity", "feature_sparsity"]

Array = Any
"""A NumPy array or a PyTorch tensor, on any device; nothing of its size leaves the device."""

_BLOCK_ELEMENTS = 1 << 26
"""A block of units is as wide as this many numbers allow; two blocks are held at a time."""


@dataclass(frozen=True, eq=False)
class FeatureSparsity:
    """How sparse a layer's features are.

    Attributes
    ----------
    raw : share of positive activations.
    distinct : the coefficient: the share of positive activations of the units that stay, of all.
    dead : number of units never positive.
    merged : number of units dropped as duplicates of later ones.
    kept : indices of the units that stay.
    inputs, units : n and m, the size of what was measured.
    """

    raw: float
    distinct: float
    dead: int
    merged: int
    kept: np.ndarray
    inputs: int
    units: int


def feature_sparsity(
    features: Array,
    correlation_threshold: float = 0.95,
    *,
    normalize: bool = False,
    max_units: int | None = None,
    seed: int = 0,
) -> FeatureSparsity:
    """Measure the share of active units after merging those that are highly correlated.

    (1/n) Σ_i (1/m) Σ_j 1[g(x_i)_j > 0], j over the units that stay, for a layer g(x) ∈ R^m; the
    paper's feature sparsity coefficient (section 4). Lower is sparser. Dead units, those never
    positive, count as inactive. Units are scanned in index order and a unit is dropped when one
    that still stands correlates with it above the threshold, so that the last of a group of
    duplicates stays; at the time unit i is scanned all later ones still stand, so it goes exactly
    when some later living unit j > i does so. Correlation is Pearson's over the n inputs, in
    absolute value. A unit that is constant and positive correlates with nothing.

    Parameters
    ----------
    features : (n, m) activations of m units at n inputs. Half precision is measured in float32,
        integers and booleans in float64.
    correlation_threshold : in (0, 1]; at 1, units merge when they are exact multiples of each
        other (up to a shift), as far as rounding can tell.
    normalize : divide each input's features by their Euclidean norm before correlating them, as
        the paper does for its small networks and not for its deep ones.
    max_units : measure a random subset of so many units; m is then their number.
    seed : fixes the subset.

    Raises
    ------
    TypeError
        If the features are not real numbers.
    ValueError
        If they are not two-dimensional, are empty, or hold NaN or infinity (the error names the
        first unit), or a setting is out of its range.

    Notes
    -----
    With a single input correlation is undefined: units merge if they are identical and alive.
    Memory beyond the input is bounded by two blocks of units, whatever their number.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0], [4.0, 8.0, 1.0, -1.0]])
    >>> found = feature_sparsity(x)
    >>> round(found.raw, 3), round(found.distinct, 3), found.dead, found.merged, found.kept
    (0.5, 0.333, 1, 1, array([1, 2]))
    """
    threshold = checks.number(
        "correlation_threshold", correlation_threshold, above=0.0, at_most=1.0
    )
    layer, drawn = _layer(features, max_units, seed)
    xp = array_namespace(layer)
    n, m = layer.shape

    width = max(1, _BLOCK_ELEMENTS // n)
    positive, constant = _counts(xp, layer, width)
    alive = np.flatnonzero(positive > 0)
    scale = _scale_of_inputs(xp, layer, width) if normalize and n > 1 else None
    if scale is not None:
        constant = np.zeros(m, dtype=bool)

    comparable = alive[~constant[alive]] if n > 1 else alive
    goes = np.zeros(len(comparable), dtype=bool)
    starts = range(0, len(comparable), width)
    for start in starts:
        earlier = comparable[start : start + width]
        block = _standardised(xp, layer, earlier, scale)
        going = goes[start : start + width]
        for later_start in range(start, len(comparable), width):
            same = later_start == start
            later = comparable[later_start : later_start + width]
            other = block if same else _standardised(xp, layer, later, scale)
            going |= _correlates_with_later(xp, block, other, threshold, same=same)

    merged = comparable[goes]
    kept = np.setdiff1d(alive, merged, assume_unique=True)
    return FeatureSparsity(
        raw=float(positive.sum() / (n * m)),
        distinct=float(positive[kept].sum() / (n * m)),
        dead=int(m - len(alive)),
        merged=len(merged),
        kept=kept if drawn is None else drawn[kept],
        inputs=n,
        units=m,
    )


def _layer(features: Array, max_units: int | None, seed: int) -> tuple[Array, np.ndarray | None]:
    """Return the features as real floating-point numbers, and the units drawn from them."""
    xp = array_namespace(features)
    if features.ndim != 2:
        raise ValueError(
            "features must have shape (inputs, units): flatten the other dimensions, for example "
            f"by features.reshape(len(features), -1); got shape {tuple(features.shape)}"
        )
    if 0 in features.shape:
        raise ValueError(
            f"features must have at least one input and unit, got shape {tuple(features.shape)}"
        )
    drawn = None
    if max_units is not None:
        count = checks.integer("max_units", max_units, at_least=1)
        if count < features.shape[1]:
            rng = np.random.default_rng(checks.integer("seed", seed, at_least=0))
            drawn = np.sort(rng.choice(features.shape[1], size=count, replace=False))
            features = features[:, _index(xp, drawn, features)]
    if is_torch_array(features):
        features = features.detach()
    if xp.isdtype(features.dtype, "complex floating"):
        raise TypeError(f"features must be real numbers, got dtype {features.dtype}")
    if not xp.isdtype(features.dtype, "real floating"):
        features = xp.astype(features, xp.float64)
    elif xp.finfo(features.dtype).bits < 32:
        features = xp.astype(features, xp.float32)
    return features, drawn


def _counts(xp: Any, layer: Array, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each unit how often it is positive and whether it is constant."""
    positive, constant = [], []
    for start in range(0, layer.shape[1], width):
        block = layer[:, start : start + width]
        low, high = xp.min(block, axis=0), xp.max(block, axis=0)
        finite = _numpy(xp.isfinite(low) & xp.isfinite(high))
        if not finite.all():
            unit = int(np.argmin(finite))
            column = _numpy(block[:, unit])
            row = int(np.argmin(np.isfinite(column)))
            raise ValueError(
                f"features must be finite, got {column[row]} for unit {start + unit} at input {row}"
            )
        positive.append(_numpy(xp.sum(xp.astype(block > 0, xp.int64), axis=0)))
        constant.append(_numpy(low == high))
    return np.concatenate(positive), np.concatenate(constant)


def _scale_of_inputs(xp: Any, layer: Array, width: int) -> Array:
    """Return 1/‖g(x_i)‖ for each input as a column; 1 for an input at which all units are zero."""
    squares = sum(
        xp.sum(layer[:, start : start + width] ** 2, axis=1)
        for start in range(0, layer.shape[1], width)
    )
    norms = xp.sqrt(squares)
    return (1.0 / xp.where(norms > 0, norms, xp.ones_like(norms)))[:, None]


def _standardised(xp: Any, layer: Array, units: np.ndarray, scale: Array | None) -> Array:
    """Return the units centred and scaled to norm 1 over the inputs; constant ones become zero."""
    block = layer[:, _index(xp, units, layer)]
    if scale is not None:
        block = block * scale
    if block.shape[0] == 1:
        return block
    size = xp.max(xp.abs(block), axis=0, keepdims=True)
    block = block / xp.where(size > 0, size, xp.ones_like(size))
    block = block - xp.mean(block, axis=0, keepdims=True)
    norms = xp.sqrt(xp.sum(block**2, axis=0, keepdims=True))
    # What is left of a constant unit by rounding: its entries are below n·eps, its norm √n times.
    rounding = block.shape[0] ** 0.5 * 8 * xp.finfo(block.dtype).eps
    varies = norms > rounding
    return xp.where(varies, block / xp.where(varies, norms, xp.ones_like(norms)), 0.0 * block)


def _correlates_with_later(
    xp: Any, block: Array, other: Array, threshold: float, *, same: bool
) -> np.ndarray:
    """Return for each unit of `block` whether a later one, of `other`, correlates with it."""
    if block.shape[0] == 1:
        above = other == block.T
    else:
        # Rounding can leave the correlation of exact duplicates just below 1.
        tolerance = 16 * xp.finfo(block.dtype).eps
        above = xp.abs(block.T @ other) > min(threshold, 1.0 - tolerance)
    if same:
        above = xp.triu(above, k=1)
    result: np.ndarray = _numpy(xp.any(above, axis=1))
    return result


def _index(xp: Any, units: np.ndarray, like: Array) -> Array:
    return xp.asarray(units, device=device(like))


def _numpy(array: Array) -> np.ndarray:
    return np.asarray(array.cpu() if is_torch_array(array) else array)
