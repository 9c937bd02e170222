"""Do two samples come from the same distribution: a statistic, a p-value, an effect size."""

import numpy as np
from jaxtyping import Float

from largestep import _checks

__all__ = ["cliffs_delta", "energy_test", "holm"]


def energy_test(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    *,
    permutations: int = 4999,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the energy distance of two samples as large as each other, and its p-value.

    2 E|X − Y| − E|X − X'| − E|Y − Y'| (Székely & Rizzo, 2004): zero in law exactly when the two
    distributions are the same. The p-value is the share of random relabellings of the pooled
    sample whose distance is at least as large, the observed one counted.

    Parameters
    ----------
    x, y : (n,) samples; values that are not finite are refused.
    permutations : number of random relabellings.
    seed : fixes them.

    Raises
    ------
    ValueError
        If the samples differ in size, have fewer than two values or one that is not finite.

    Examples
    --------
    >>> x = np.linspace(0, 1, 20)
    >>> energy_test(x, x)
    (0.0, 1.0)
    """
    x, y = _checks.array("x", x, dimensions=1), _checks.array("y", y, dimensions=1)
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(
            f"x and y must be as large as each other, two values or more: {len(x)} and {len(y)}"
        )
    n = len(x)
    pooled = np.concatenate([x, y])
    # A power of two rounds nothing, and keeps distances and their sums from overflowing.
    exponent = int(np.frexp(np.abs(pooled).max())[1])
    pooled = np.ldexp(pooled, -exponent)
    distances = np.abs(pooled[:, np.newaxis] - pooled)
    labels = np.repeat([1.0, -1.0], n)
    rng = np.random.default_rng(_checks.integer("seed", seed, at_least=0))
    count = _checks.integer("permutations", permutations, at_least=1)
    shuffled = rng.permuted(np.tile(labels, (count, 1)), axis=1)
    # With labels ±1 and equal sizes the three means are one quadratic form.
    observed = -float(labels @ distances @ labels) / n**2
    permuted = -np.einsum("ki,ki->k", shuffled @ distances, shuffled) / n**2
    tolerance = 1e-12 * distances.max()
    exceeding = int(np.sum(permuted >= observed - tolerance))
    distance = float(np.ldexp(max(0.0, observed), exponent))
    return distance, (1 + exceeding) / (1 + count)


def cliffs_delta(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> float:
    """Return P(x > y) − P(x < y), an effect size between −1 and 1; ties count for neither.

    Raises
    ------
    TypeError, ValueError
        If a sample is empty, or holds a value that is not a finite number.

    Examples
    --------
    >>> cliffs_delta(np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    1.0
    """
    x, y = _checks.array("x", x, dimensions=1), _checks.array("y", y, dimensions=1)
    for name, sample in (("x", x), ("y", y)):
        if len(sample) == 0:
            raise ValueError(f"{name} must hold at least one value, got none")
    above, below = np.greater.outer(x, y), np.less.outer(x, y)
    return (int(above.sum()) - int(below.sum())) / above.size


def holm(p_values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Return p-values corrected for their number by Holm's method (family-wise error).

    NaN stays NaN and is not counted.

    Raises
    ------
    TypeError, ValueError
        If they are not one-dimensional, or one is not from 0 to 1.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    p_values = _checks.view("p_values", p_values, shape=(None,))
    outside = (p_values < 0.0) | (p_values > 1.0)
    if outside.any():
        raise ValueError(f"p_values must be from 0 to 1, got {p_values[outside][0]}")
    corrected = np.full(len(p_values), np.nan)
    usable = np.flatnonzero(np.isfinite(p_values))
    order = usable[np.argsort(p_values[usable])]
    steps = np.arange(len(order), 0, -1) * p_values[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
