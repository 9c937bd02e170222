"""The feature sparsity coefficient: how many distinct units of a layer are active."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import (
    array_namespace,
    device,
    is_numpy_array,
    is_numpy_namespace,
    is_torch_array,
)

from largestep import _checks

__all__ = ["FeatureSparsity", "feature_sparsity"]

Array = Any
"""A NumPy array or a PyTorch tensor, on any device; nothing of its size leaves the device."""

_BLOCK_BYTES = 1 << 29
"""Size of a block of units; about four are held at a time."""
_BLOCK_UNITS = 4096
"""The most units in a block: with few inputs the block is small, but not its correlations."""
_TILE = 256
"""Units whose correlations with all later ones are computed at once: half of the matrix is spared,
and a product of so many columns still runs at full speed."""


_STACK_BYTES = 1 << 21
"""Size of a stack of layers, or of their correlations."""


@dataclass(frozen=True, eq=False)
class FeatureSparsity:
    """How sparse a layer's features are.

    Attributes
    ----------
    raw : share of activations that are active, that is positive.
    distinct : the coefficient: the share of active activations of the units that stay, of all.
    dead : number of units never active.
    merged : number of units dropped as duplicates of later ones.
    kept : indices of the units that stay, among the columns of the features.
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
    active_above: float = 0.0,
    max_units: int | None = None,
    seed: int = 0,
) -> FeatureSparsity:
    """Measure the share of active units after merging those that are highly correlated.

    The coefficient is (1/n) Σ_i (1/m) Σ_j 1[g(x_i)_j > 0], j over the units that stay, for the
    features g(x_i) ∈ R^m of n inputs; m counts all units, and a lower value is sparser [1].

    - Dead units, those never positive over the inputs, do not stay.
    - Living units are scanned in index order, and a unit is dropped when another that still
      stands correlates with it above the threshold, so that the last of a group of duplicates
      stays. All later units still stand when unit i is scanned, and an earlier one would have
      gone because of i: i goes exactly when some later j > i correlates with it.
    - Correlation is Pearson's over the n inputs, in absolute value. A constant unit correlates
      with nothing, not even with another constant.

    Parameters
    ----------
    features : (n, m) activations of m units at n inputs. They are measured in their own
        precision, but half precision in float32, integers and booleans in float64.
    correlation_threshold : in (0, 1]. At 1, only exact duplicates merge: multiples of each other,
        positive or negative, up to a shift. Correlations within 2√n ε of 1, with ε the machine
        precision, count as 1, so that rounding hides no duplicate.
    normalize : divide each input's features by their Euclidean norm over the units before
        correlating them, as the paper does for ReLU networks and not for deep ones. An input at
        which all units are zero stays so.
    active_above : a unit is active where it exceeds this. 0 is the definition; a higher value is
        a rule of thumb for units that are never exactly zero, such as those of GELU.
    max_units : measure a random subset of so many units, without replacement; m is then their
        number. By default, or if there are no more than that, all units.
    seed : fixes the subset.

    Raises
    ------
    TypeError
        If the features are not an array or tensor of real numbers.
    ValueError
        If they are not two-dimensional, are empty, or hold NaN or infinity (the error names the
        first unit and input), or a setting is out of its range.

    Notes
    -----
    With a single input correlation is undefined: living units merge if they have the same value.
    Memory beyond the input is bounded by a few blocks of units, whatever m. On a GPU, matrix
    products follow PyTorch's setting: with TF32 on, do not ask for a threshold above 0.99.

    References
    ----------
    1. M. Andriushchenko, A. Varre, L. Pillaud-Vivien and N. Flammarion, "SGD with large step
       sizes learns sparse features", ICML 2023.

    Examples
    --------
    Unit 0 is half of unit 1, and unit 3 is dead.

    >>> import numpy as np
    >>> x = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0], [4.0, 8.0, 1.0, -1.0]])
    >>> found = feature_sparsity(x)
    >>> round(found.raw, 3), round(found.distinct, 3), found.dead, found.merged, found.kept
    (0.5, 0.333, 1, 1, array([1, 2]))
    """
    threshold = _checks.number(
        "correlation_threshold", correlation_threshold, above=0.0, at_most=1.0
    )
    active_above = _checks.number("active_above", active_above, at_least=0.0)
    xp, dtype = _checked(features)
    if is_numpy_array(features):
        features = np.asarray(features)  # a mask that hides nothing would slow all down
    n, m = features.shape
    units = _chosen(m, max_units, seed)
    m = len(units)
    if is_torch_array(features):
        features = features.detach()
    width = _BLOCK_BYTES // (n * xp.finfo(dtype).bits // 8)
    width = min(max(width, 1), _BLOCK_UNITS)

    def read(chosen: np.ndarray) -> Array:
        # Always a copy, so that blocks can be changed in place.
        columns = xp.asarray(chosen, device=device(features))
        return xp.astype(xp.take(features, columns, axis=1), dtype, copy=False)

    active = np.concatenate(
        [_times_active(xp, read, block, active_above) for block in _cut(units, width)]
    )
    living = units[active > 0]
    if n == 1:
        goes = _equals_later(_numpy(read(living))[0])
    else:
        lengths = _lengths(xp, read, _cut(units, width)) if normalize else None
        goes = _correlates_with_later(xp, read, _cut(living, width), lengths, threshold)
    return FeatureSparsity(
        raw=float(active.sum() / (n * m)),
        distinct=float(active[active > 0][~goes].sum() / (n * m)),
        dead=m - len(living),
        merged=int(goes.sum()),
        kept=living[~goes],
        inputs=n,
        units=m,
    )


def distinct_shares(stack: np.ndarray, threshold: float) -> np.ndarray:
    """Return the coefficient of each of many small layers of ReLUs, at once.

    Parameters
    ----------
    stack : (k, n, m) activations; those of ReLUs are not negative.
    threshold : the correlation's; each input's features are divided by their norm.

    Raises
    ------
    ValueError
        As `feature_sparsity`.
    """
    k, n, m = stack.shape
    if n == 1 or not ((stack >= 0.0) & (stack < np.inf)).all():
        each = (feature_sparsity(features, threshold, normalize=True) for features in stack)
        return np.array([found.distinct for found in each])
    shares = np.empty(k)
    together = max(1, _STACK_BYTES // (8 * m * max(n, m)))
    xp = array_namespace(stack)
    for start in range(0, k, together):
        rows = slice(start, start + together)
        features = stack[rows]
        lengths = _lengths(xp, partial(np.take, features, axis=-1), [np.arange(m)])
        block = _standardised(xp, features.copy(), lengths)
        # Dead units are constant: they correlate with none, and have no active inputs to count.
        above = np.abs(np.swapaxes(block, -1, -2) @ block) > _most(xp, threshold, block)
        stays = ~np.triu(above, k=1).any(axis=-1)
        shares[rows] = (np.count_nonzero(features > 0.0, axis=1) * stays).sum(axis=1) / (n * m)
    return shares


def _checked(features: Array) -> tuple[Any, Any]:
    """Return the array's namespace and the precision to measure in, or say what is wrong."""
    _checks.unmasked("features", features)
    if not (is_numpy_array(features) or is_torch_array(features)):
        raise TypeError(
            f"features must be a NumPy array or a PyTorch tensor, got {_checks.shown(features)} "
            f"({type(features).__name__})"
        )
    xp = array_namespace(features)
    shape = tuple(features.shape)
    if len(shape) != 2:
        raise ValueError(
            "features must have shape (inputs, units), got shape "
            f"{shape}: flatten all but the inputs, as by features.reshape(len(features), -1)"
        )
    if 0 in shape:
        raise ValueError(f"features must have at least one input and one unit, got shape {shape}")
    if xp.isdtype(features.dtype, "real floating"):
        half = xp.finfo(features.dtype).bits < 32
        return xp, xp.float32 if half else features.dtype
    if not xp.isdtype(features.dtype, ("bool", "integral")):
        raise TypeError(f"features must be real numbers, got dtype {features.dtype}")
    return xp, xp.float64


def _chosen(units: int, max_units: int | None, seed: int) -> np.ndarray:
    """Return the indices of the units to measure."""
    seed = _checks.integer("seed", seed, at_least=0)
    if max_units is None or _checks.integer("max_units", max_units, at_least=1) >= units:
        return np.arange(units)
    return np.sort(np.random.default_rng(seed).choice(units, size=max_units, replace=False))


def _cut(units: np.ndarray, width: int) -> list[np.ndarray]:
    return [units[start : start + width] for start in range(0, len(units), width)]


def _times_active(
    xp: Any, read: Callable[[np.ndarray], Array], units: np.ndarray, above: float
) -> np.ndarray:
    """Return how often each unit is active, or say which one is not finite."""
    block = read(units)
    finite = _numpy(xp.isfinite(xp.min(block, axis=0)) & xp.isfinite(xp.max(block, axis=0)))
    if not finite.all():
        unit = int(np.argmin(finite))
        column = _numpy(block[:, unit])
        at = int(np.argmin(np.isfinite(column)))
        raise ValueError(
            f"features must be finite, got {column[at]} for unit {units[unit]} at input {at}"
        )
    return _numpy(xp.count_nonzero(block > above, axis=0))


def _lengths(xp: Any, read: Callable[[np.ndarray], Array], blocks: list[np.ndarray]) -> Array:
    """Return the norm of each input's features as a column; 1 where all units are zero."""
    # Squares of the features themselves could overflow, or vanish.
    largest = xp.max(xp.abs(read(blocks[0])), axis=-1, keepdims=True)
    for units in blocks[1:]:
        largest = xp.maximum(largest, xp.max(xp.abs(read(units)), axis=-1, keepdims=True))
    largest = xp.where(largest > 0, largest, xp.ones_like(largest))
    squares = sum(xp.sum((read(units) / largest) ** 2, axis=-1, keepdims=True) for units in blocks)
    return largest * xp.sqrt(xp.where(squares > 0, squares, xp.ones_like(squares)))


def _correlates_with_later(
    xp: Any,
    read: Callable[[np.ndarray], Array],
    blocks: list[np.ndarray],
    lengths: Array | None,
    threshold: float,
) -> np.ndarray:
    """Return for each unit whether a later one correlates with it above the threshold."""
    goes = [np.zeros(len(units), dtype=bool) for units in blocks]
    for i, earlier in enumerate(blocks):
        block = _standardised(xp, read(earlier), lengths)
        most = _most(xp, threshold, block)
        for j, later in enumerate(blocks[i:], start=i):
            other = block if j == i else _standardised(xp, read(later), lengths)
            for start in range(0, len(earlier), _TILE):
                # A unit is compared with later ones only.
                stop, first = min(start + _TILE, len(earlier)), start if j == i else 0
                shape = (stop - start, len(later) - first)
                correlation = xp.empty(shape, dtype=block.dtype, device=device(block))
                # With `out`, a caller's torch.autocast does not lower the precision of the product.
                xp.matmul(block[:, start:stop].T, other[:, first:], out=correlation)
                above = xp.abs(correlation) > most
                goes[i][start:stop] |= _numpy(
                    xp.any(xp.triu(above, k=1) if j == i else above, axis=1)
                )
    return np.concatenate([*goes, np.zeros(0, dtype=bool)])


def _most(xp: Any, threshold: float, block: Array) -> float:
    """Return the threshold, but for the rounding of correlations over so many inputs."""
    return float(min(threshold, 1.0 - 2.0 * block.shape[-2] ** 0.5 * xp.finfo(block.dtype).eps))


def _standardised(xp: Any, block: Array, lengths: Array | None) -> Array:
    """Return the units of (…, n, m) centred and of norm 1, constant ones as zeros.

    Overwrites `block`.
    """
    if lengths is not None:
        block /= lengths
    n = block.shape[-2]
    low, high = xp.min(block, axis=-2, keepdims=True), xp.max(block, axis=-2, keepdims=True)
    if not bool(xp.all(xp.isfinite(high - low))):
        block *= 0.25  # rounds nothing, and correlations have no scale
        low, high = low * 0.25, high * 0.25
    # Normalising leaves a unit that should be constant with the rounding of the lengths.
    rounding = 0.0 if lengths is None else 4.0 * n**0.5 * xp.finfo(block.dtype).eps
    varies = high - low > rounding * xp.maximum(xp.abs(low), xp.abs(high))
    # Subtracting the lowest value first keeps the digits of small variations around a large one.
    block -= low
    block /= xp.where(varies, high - low, xp.full_like(low, xp.inf))
    # NumPy adds up the rows one by one: the error would grow with their number.
    wider = xp.float64 if block.dtype == xp.float32 else np.longdouble
    precise = {"dtype": wider} if is_numpy_namespace(xp) else {}
    block -= xp.astype(xp.sum(block, axis=-2, keepdims=True, **precise) / n, block.dtype)
    squares = xp.sum(block**2, axis=-2, keepdims=True, **precise)
    norms = xp.astype(xp.sqrt(squares), block.dtype)
    block /= xp.where(varies, norms, xp.ones_like(norms))
    return block


def _equals_later(values: np.ndarray) -> np.ndarray:
    """Return for each value whether it comes again."""
    last = np.unique(values[::-1], return_index=True)[1]
    goes = np.ones(len(values), dtype=bool)
    goes[len(values) - 1 - last] = False
    return goes


def _numpy(array: Array) -> np.ndarray:
    return np.asarray(array.cpu() if is_torch_array(array) else array)
