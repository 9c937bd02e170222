"""Kinks of a piecewise linear function of one variable: how many, and how much they bend it."""

import numpy as np
from jaxtyping import Float

from largestep import _checks

__all__ = ["kinks", "weighted_variation"]


def kinks(
    positions: Float[np.ndarray, " m"],
    jumps: Float[np.ndarray, " m"],
    interval: tuple[float, float],
    *,
    merged_within: float = 0.02,
    above: float = 0.01,
) -> int:
    """Count the kinks that can be told apart: where the slope jumps, inside an interval.

    Neighbours within a share of the interval's length count as one, whose jump is the sum of
    theirs; what then jumps by less than a share of the largest does not count. (The local
    complexity of Humayun et al., 2024, for one input.)

    Parameters
    ----------
    positions, jumps : (m,) where each unit bends, and by how much the slope changes there;
        positions that are infinite or NaN, of units that do not bend, are left out.
    interval : inside which to count.
    merged_within : share of the interval's length.
    above : share of the largest jump.

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in shape, a jump is not finite, or a setting is out of its range.

    Examples
    --------
    >>> kinks(np.array([0.1, 0.101, 0.5, 2.0]), np.array([1.0, 1.0, -1.0, 1.0]), (0.0, 1.0))
    2
    """
    jumps = _checks.array("jumps", jumps, dimensions=1)
    positions = _checks.view("positions", positions, shape=(len(jumps),))
    if not isinstance(interval, tuple | list) or len(interval) != 2:
        raise TypeError(f"interval must be (low, high), got {_checks.shown(interval)}")
    low, high = (_checks.number("interval", end) for end in interval)
    if not low < high < low + np.inf:
        raise ValueError(f"interval must be (low, high), got {interval}")
    within = _checks.number("merged_within", merged_within, at_least=0.0) * (high - low)
    above = _checks.number("above", above, at_least=0.0, at_most=1.0)
    inside = np.flatnonzero((positions > low) & (positions < high))
    if inside.size == 0:
        return 0
    order = inside[np.argsort(positions[inside], kind="stable")]
    starts = np.r_[0, 1 + np.flatnonzero(np.diff(positions[order]) > within)]
    sizes = np.abs(np.add.reduceat(jumps[order], starts))
    return int(np.sum((sizes > above * sizes.max()) & (sizes > 0.0)))


def weighted_variation(
    positions: Float[np.ndarray, " m"],
    jumps: Float[np.ndarray, " m"],
    x: Float[np.ndarray, " n"],
) -> float:
    """Return ∫ |f''| g, by which the data weigh the variation of a slope: what stability bounds.

    g(t) = min(g₋(t), g₊(t)) with g₊(t) = P² · E[X − t | X > t] · √(1 + E[X | X > t]²), X a data
    point drawn at random and P the probability that X > t; g₋ is the same to the left. It is
    largest amid the data, and 0 at their ends and beyond.

    Where gradient descent with step size η stays at a two-layer ReLU network of one input, and the
    loss is c·r² with residuals r, twice differentiable there: ∫ |f''| g ≤ 1/(2cη) +
    mean(|r_i| √(1 + x_i²))/2, less 1/2 if the output has a bias (see the theory page).

    Parameters
    ----------
    positions, jumps : (m,) where the slope changes, and by how much; units that bend at the very
        same place are one. Positions that are infinite or NaN are left out.
    x : (n,) the training inputs.

    Raises
    ------
    TypeError, ValueError
        If the arrays differ in shape, or a jump or an input is not finite.

    References
    ----------
    1. R. Mulayoff, T. Michaeli and D. Soudry, "The implicit bias of minima stability: a view from
       function space", NeurIPS 2021: the weight, at minima that fit.
    2. D. Qiao, K. Zhang, E. Singh, D. Soudry and Y.-X. Wang, "Stable minima cannot overfit in
       univariate ReLU networks: generalization by large step sizes", NeurIPS 2024: elsewhere.

    Examples
    --------
    >>> round(weighted_variation(np.array([0.0]), np.array([2.0]), np.array([-1.0, 1.0])), 6)
    0.707107
    """
    jumps = _checks.array("jumps", jumps, dimensions=1)
    positions = _checks.view("positions", positions, shape=(len(jumps),))
    x = _checks.array("x", x, dimensions=1)
    if x.size == 0:
        raise ValueError("x must hold at least one input, got none")
    bends = np.isfinite(positions)
    where, same = np.unique(positions[bends], return_inverse=True)
    sizes = np.abs(np.bincount(same, jumps[bends], minlength=len(where)))
    away = x - where[:, np.newaxis]
    sides = [
        # P · E[|X − t| | …] and P · √(1 + E[X | …]²), without dividing by P.
        np.mean(np.maximum(side * away, 0.0), axis=1)
        * np.hypot(np.mean(side * away > 0.0, axis=1), np.mean((side * away > 0.0) * x, axis=1))
        for side in (1.0, -1.0)
    ]
    return float(sizes @ np.minimum(*sides))
