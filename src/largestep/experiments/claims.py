"""Claims as data: a sentence, a statistic over seeds, a bound, and a verdict."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from largestep.store import Results

__all__ = ["Claim", "Verdict"]

Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Claim:
    """Something that must come out, checked over seeds.

    Parameters
    ----------
    sentence : what is claimed, in words.
    statistic : what is computed for each seed, in words.
    values : results → one number for each seed; NaN where a seed has none (it diverged).
    direction, bound : the claim is that the centre over seeds is "below" or "above" the bound.
    centre : "median", or "mean" for shares of seeds.
    """

    sentence: str
    statistic: str
    values: Callable[[Results], Any]
    direction: Literal["below", "above"]
    bound: float
    centre: Literal["median", "mean"] = "median"

    def check(self, results: Results) -> dict[str, Any]:
        """Return the centre over seeds, its 95 % bootstrap interval and the verdict, as JSON.

        The claim holds when the whole interval lies on the claimed side of the bound, does not
        hold when all of it lies elsewhere, and is undecided otherwise, or with fewer than three
        seeds that have a value.
        """
        values = np.asarray(self.values(results), dtype=np.float64).ravel()
        usable = values[np.isfinite(values)]
        interval = _interval(usable, self.centre)
        return {
            "claim": self.sentence,
            "verdict": self._verdict(interval),
            "statistic": _finite(getattr(np, self.centre)(usable) if usable.size else np.nan),
            "interval": None if interval is None else [_finite(end) for end in interval],
            "direction": self.direction,
            "bound": self.bound,
            "measured": f"{self.centre} over seeds of: {self.statistic}",
            "seeds": len(values),
            "seeds_used": len(usable),
        }

    def _verdict(self, interval: tuple[float, float] | None) -> Verdict:
        if interval is None:
            return "undecided"
        low, high = interval
        inside, outside = high < self.bound, low >= self.bound
        if self.direction == "above":
            inside, outside = low > self.bound, high <= self.bound
        return "holds" if inside else "does not hold" if outside else "undecided"


def _interval(values: np.ndarray, centre: str) -> tuple[float, float] | None:
    if len(values) < 3:
        return None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    from scipy.stats import bootstrap  # most of a second to import

    found = bootstrap(
        (values,),
        getattr(np, centre),
        method="percentile",
        n_resamples=4999,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
