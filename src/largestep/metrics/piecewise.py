"""How many kinks a piecewise linear function of one variable has."""

import numpy as np
from jaxtyping import Float

from largestep import _checks

__all__ = ["kinks"]


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
