"""How sure is a median, a mean or a share; do two samples come from the same distribution."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from largestep import _checks

__all__ = [
    "Interval",
    "cliffs_delta",
    "energy_test",
    "holm",
    "mean_interval",
    "median_interval",
    "share_interval",
]


class Interval(NamedTuple):
    """A confidence interval.

    Attributes
    ----------
    low, high : its ends.
    level : how often such an interval covers the truth; at least so often if the method is exact.
    method : how it was found.
    """

    low: float
    high: float
    level: float
    method: str


def share_interval(yes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return the exact interval of a share, of which `yes` in n trials were seen.

    Clopper & Pearson, 1934: the shares under which what was seen, or anything beyond it, has a
    probability of (1 − level)/2 at least. It covers at least as often as it says, near 0 and 1 up
    to always: it is never shorter than it may be, and twenty in twenty leave room below one.

    Raises
    ------
    TypeError, ValueError
        If n is not positive, `yes` not between 0 and n, or the level not in (0, 1).

    Examples
    --------
    >>> low, high, *_ = share_interval(20, 20)
    >>> round(low, 3), high
    (0.832, 1.0)
    """
    from scipy.special import betaincinv

    n = _checks.integer("n", n, at_least=1)
    yes = _checks.integer("yes", yes, at_least=0)
    if yes > n:
        raise ValueError(f"yes must be at most n = {n}, got {yes}")
    level = _level(level)
    tail = (1.0 - level) / 2
    low = float(betaincinv(yes, n - yes + 1, tail)) if yes > 0 else 0.0
    high = float(betaincinv(yes + 1, n - yes, 1.0 - tail)) if yes < n else 1.0
    return Interval(low, high, level, "Clopper–Pearson, exact")


def median_interval(values: Float[np.ndarray, " n"], *, level: float = 0.95) -> Interval | None:
    """Return an exact interval of a median, from one value of the sample to another.

    Of n values independent of each other as many lie below the median as heads fall in n tosses,
    whatever their distribution: so the k-th smallest and the k-th largest miss it with a
    probability that is known, and k is the largest at which it is 1 − level at most. Where values
    are tied it covers more often. The whole range of five values covers in 93.75 % of cases, and
    is returned with that level; fewer than five decide nothing at 95 %, and have none.

    Raises
    ------
    TypeError, ValueError
        If the values are not (n,) finite numbers, or the level not in (0, 1).

    Examples
    --------
    >>> low, high, covered, _ = median_interval(np.arange(20.0))
    >>> low, high, round(covered, 3)
    (5.0, 14.0, 0.959)
    >>> median_interval(np.arange(4.0)) is None
    True
    """
    from scipy.special import bdtr

    values = _checks.array("values", values, dimensions=1)
    level, n = _level(level), len(values)
    tails = bdtr(np.arange(n), n, 0.5)
    # Five values fall short of 95 % by 1.25: that is let pass, and said.
    k = int(np.sum(tails <= (1.0 - level) / 2)) or int(n > 0 and 2 * tails[0] <= 1.015 - level)
    if k == 0:
        return None
    ordered = np.sort(values)
    return Interval(
        float(ordered[k - 1]),
        float(ordered[n - k]),
        1.0 - 2.0 * float(tails[k - 1]),
        "order statistics, exact",
    )


def mean_interval(values: Float[np.ndarray, " n"], *, level: float = 0.95) -> Interval | None:
    """Return Student's t interval of a mean.

    It covers as often as it says where values are normal, and less where they are few and skewed:
    take medians there. Fewer than three values, or values that are all equal, have none.

    Raises
    ------
    TypeError, ValueError
        If the values are not (n,) finite numbers, or the level not in (0, 1).

    Examples
    --------
    >>> low, high, *_ = mean_interval(np.array([1.0, 2.0, 3.0]))
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    from scipy.special import stdtrit

    values = _checks.array("values", values, dimensions=1)
    level, n = _level(level), len(values)
    if n < 3 or values.min() == values.max():
        return None
    size = np.abs(values).max()  # no square overflows
    centre = float(np.mean(values / size) * size)
    spread = float(np.std(values / size, ddof=1) * size)
    reach = float(stdtrit(n - 1, 0.5 + level / 2) * spread / np.sqrt(n))
    return Interval(centre - reach, centre + reach, level, "Student's t")


def _level(level: float) -> float:
    return _checks.number("level", level, above=0.0, below=1.0)


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
