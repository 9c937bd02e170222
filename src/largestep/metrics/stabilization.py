"""Loss stabilisation: does a loss curve stay around a level set, and where."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from largestep import _checks

__all__ = ["Plateau", "plateau"]


@dataclass(frozen=True)
class Plateau:
    """A stretch of training on which the loss neither converges nor diverges.

    Attributes
    ----------
    level : median loss on it.
    start, end : its first and last step.
    """

    level: float
    start: float
    end: float


def plateau(
    steps: Shaped[np.ndarray, " k"],
    loss: Shaped[np.ndarray, " k"],
    *,
    band: float = 4.0,
    min_share: float = 0.1,
    blocks: int = 50,
    floor: float = 1e-5,
) -> Plateau | None:
    """Find the longest plateau of a loss curve, or None (loss stabilisation: the paper, section 2).

    The rule. Training is cut into `blocks` stretches of equal length; each that holds a finite
    loss is represented by the median of its log-losses, whose standard error s is estimated from
    the differences of successive log-losses. A plateau is the longest run of consecutive blocks
    that
    (1) covers at least `min_share` of training and at least three blocks;
    (2) has block medians within a factor `band` of each other, widened by 4s;
    (3) has no trend: falling at its rate (Theil–Sen) from the start of training on, the loss would
        change by a factor e^0.4 at most, widened by two standard errors. A loss that falls slowly
        and steadily, be it as 1/√t, converges; it does not stabilise;
    (4) has a level above `floor` times the first finite loss: below it the loss has converged.
    Of runs equally long the earlier one is returned. Just below the step sizes that stabilise a
    loss may linger at a low level for a while, and is then found to have a plateau there.

    Parameters
    ----------
    steps : increasing steps (or any measure of time) at which the loss was recorded.
    loss : the losses; NaN after a divergence; zeros count as converged.
    band : largest ratio of two block medians on a plateau.
    min_share : shortest plateau, as a share of training.
    blocks : number of stretches; recorded points should be several times as many.
    floor : level, as a share of the first loss, under which nothing is a plateau.

    Raises
    ------
    ValueError
        If the arrays differ in length, are empty, or the steps are not finite and increasing.

    Examples
    --------
    >>> t = np.linspace(0, 1, 500)
    >>> noise = np.random.default_rng(0).lognormal(sigma=0.3, size=500)
    >>> found = plateau(t, np.where(t < 0.6, 0.1, 1e-5) * noise)
    >>> round(found.start, 2), round(found.end, 1), round(found.level, 2)
    (0.0, 0.6, 0.1)
    >>> plateau(t, np.exp(-20 * t)) is None
    True
    """
    band = _checks.number("band", band, above=1.0)
    min_share = _checks.number("min_share", min_share, above=0.0, at_most=1.0)
    blocks = _checks.integer("blocks", blocks, at_least=3)
    floor = _checks.number("floor", floor, above=0.0)
    time = _checks.array("steps", steps, dimensions=1)
    loss = _checks.view("loss", loss, shape=(None,))
    if len(time) != len(loss) or len(time) == 0:
        raise ValueError(
            f"steps and loss must be as long and not empty, got {len(time)} and {len(loss)}"
        )
    with np.errstate(over="ignore"):
        rises = np.diff(time)
        if (rises <= 0).any():
            first = int(np.argmax(rises <= 0))
            raise ValueError(f"steps must increase, got {time[first + 1]:g} after {time[first]:g}")
        if not np.isfinite(time[-1] - time[0]):
            raise ValueError(f"steps must lie within the range of a float, got up to {time[-1]:g}")

    usable = np.isfinite(loss) & (loss > 0)
    if not usable.any():
        return None
    duration = max(time[-1] - time[0], 1e-300)
    block = np.minimum(((time - time[0]) / duration * blocks).astype(int), blocks - 1)
    time, block = time[usable], block[usable]
    log_loss = np.log(loss[usable])

    numbers, counts = np.unique(block, return_counts=True)
    medians = np.array([np.median(log_loss[block == b]) for b in numbers])
    error = _error_of_a_median(log_loss, float(np.median(counts)))
    # In units of the whole training, from its start.
    centres = (numbers + 0.5) / blocks
    least = log_loss[0] + np.log(floor)
    shortest = max(3, int(np.ceil(min_share * blocks)))
    for length in range(len(numbers), shortest - 1, -1):
        for first in range(len(numbers) - length + 1):
            run = slice(first, first + length)
            consecutive = numbers[run][-1] - numbers[run][0] == length - 1
            level = np.median(medians[run])
            if (
                consecutive
                and level >= least
                and np.ptp(medians[run]) <= np.log(band) + 4 * error
                and not _falls_or_rises(centres[run], medians[run], error)
            ):
                inside = (block >= numbers[run][0]) & (block <= numbers[run][-1])
                return Plateau(
                    level=float(np.exp(np.median(log_loss[inside]))),
                    start=float(time[inside][0]),
                    end=float(time[inside][-1]),
                )
    return None


def _error_of_a_median(values: np.ndarray, count: float) -> float:
    """Return the standard error of a median of `count` values, whatever their trend."""
    if len(values) < 2:
        return 0.0
    # Normal noise: 1.4826 makes a median absolute deviation a standard deviation, differences
    # have √2 times as much, a median is 1.25 times as uncertain as a mean.
    deviation = 1.4826 * float(np.median(np.abs(np.diff(values)))) / np.sqrt(2)
    return float(1.25 * deviation / np.sqrt(count))


def _falls_or_rises(time: np.ndarray, values: np.ndarray, error: float) -> bool:
    earlier, later = np.triu_indices(len(time), k=1)
    slope = float(np.median((values[later] - values[earlier]) / (time[later] - time[earlier])))
    slope_error = error / np.sqrt(np.sum((time - time.mean()) ** 2))
    return abs(slope) * time[-1] > 0.4 + 2 * slope_error * time[-1]
