"""Loss stabilisation: does a loss curve stay around a level set, and where."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from scipy.stats import kendalltau

from largestep import checks

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
    band: float = 2.0,
    min_share: float = 0.05,
    blocks: int = 50,
    floor: float = 1e-6,
) -> Plateau | None:
    """Find the longest plateau of a loss curve, or None (loss stabilisation: the paper, section 2).

    The rule. Training is cut into `blocks` stretches of equal length; each that holds a finite
    loss is represented by the median of its log-losses. A plateau is the longest run of
    consecutive blocks that
    (1) covers at least `min_share` of training and at least three blocks;
    (2) has block medians that lie within a factor `band` of each other;
    (3) has no monotone trend: |Kendall's τ| of its recorded losses against the step is at
        most 0.5, or its block medians lie within 5 % of each other. A loss that falls slowly
        and steadily converges, it does not stabilise;
    (4) has a level above `floor` times the first finite loss: below it the loss has converged.
    Of runs equally long the earlier one is returned.

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
        If the arrays differ in length, are empty, or the steps do not increase.

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
    band = checks.number("band", band, above=1.0)
    min_share = checks.number("min_share", min_share, above=0.0, at_most=1.0)
    blocks = checks.integer("blocks", blocks, at_least=3)
    if len(steps) != len(loss) or len(steps) == 0:
        raise ValueError(
            f"steps and loss must be as long and not empty, got {len(steps)} and {len(loss)}"
        )
    if (np.diff(steps) <= 0).any():
        raise ValueError("steps must increase")

    usable = np.isfinite(loss) & (np.asarray(loss) > 0)
    if not usable.any():
        return None
    time = np.asarray(steps, dtype=np.float64)
    duration = max(time[-1] - time[0], 1e-300)
    block = np.minimum(((time - time[0]) / duration * blocks).astype(int), blocks - 1)
    time, block = time[usable], block[usable]
    log_loss = np.log(np.asarray(loss, dtype=np.float64)[usable])

    numbers = np.unique(block)
    medians = np.array([np.median(log_loss[block == b]) for b in numbers])
    least = log_loss[0] + np.log(floor)
    shortest = max(3, int(np.ceil(min_share * blocks)))
    for length in range(len(numbers), shortest - 1, -1):
        for first in range(len(numbers) - length + 1):
            run = slice(first, first + length)
            spread = np.ptp(medians[run])
            if spread > np.log(band) or np.median(medians[run]) < least:
                continue
            if numbers[run][-1] - numbers[run][0] != length - 1:
                continue
            inside = (block >= numbers[run][0]) & (block <= numbers[run][-1])
            if spread > np.log(1.05) and _trend(time[inside], log_loss[inside]) > 0.5:
                continue
            return Plateau(
                level=float(np.exp(np.median(log_loss[inside]))),
                start=float(time[inside][0]),
                end=float(time[inside][-1]),
            )
    return None


def _trend(time: np.ndarray, values: np.ndarray) -> float:
    tau = kendalltau(time, values).statistic
    return 0.0 if np.isnan(tau) else abs(float(tau))
