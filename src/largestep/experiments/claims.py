"""Claims as data: a sentence, a statistic over seeds, a bound, a control, and a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from largestep.statistics import Interval, mean_interval, median_interval, share_interval
from largestep.store import Results

__all__ = ["Claim", "Control", "Values", "Verdict"]

Verdict = Literal["holds", "does not hold", "undecided", "not discriminating"]

Values = Callable[[Results], Any]
"""Results → one number for each seed, NaN where a seed has none (it diverged)."""

_MOST_SEEDS = 1000


@dataclass(frozen=True)
class Control:
    """Something of which the claim must fail: the small step, shuffled labels, a random feature.

    Parameters
    ----------
    what : it is, in words.
    values : the claim's statistic there.
    """

    what: str
    values: Values


@dataclass(frozen=True)
class Claim:
    """Something that must come out, checked over seeds.

    Parameters
    ----------
    sentence : what is claimed, in words.
    statistic : what is computed for each seed, in words.
    values : results → one number for each seed, NaN where a seed has none; or a row of numbers,
        (seeds, k), when the claim is that all k quantities are on the right side of the bound.
    direction, bound : the claim is that the centre over seeds is "below" or "above" the bound, or
        "within" a pair of them.
    centre : "median", or "mean": of yes and no, 1 and 0, that is a share of the seeds.
    control : what the claim must fail of; None where there is none, and the page says so.
    beside : the absolute values behind a ratio by name, one for each seed; their medians are shown.
    whose : claim it is, if it isn't the experiment's: "the talk", "our own", "rivals".
    over : what has a value each, if it isn't seeds.
    """

    sentence: str
    statistic: str
    values: Values
    direction: Literal["below", "above", "within"]
    bound: float | tuple[float, float]
    centre: Literal["median", "mean"] = "median"
    control: Control | None = None
    beside: Mapping[str, Values] = field(default_factory=dict)
    whose: str | None = None
    over: str = "seeds"

    def check(self, results: Results) -> dict[str, Any]:
        """Return the centre over seeds, its 95 % interval, the control's and the verdict, as JSON.

        The claim holds when the whole interval lies on the claimed side of the bound, does not
        hold when all of it lies elsewhere, and is undecided otherwise, or with fewer seeds that
        have a value than an interval takes: `undecided_because` says how many like these would
        decide. Where it holds of its control too it is not discriminating; where the control has
        no value whatever, undecided.

        A share has the exact interval of Clopper and Pearson, a median that of its order
        statistics, any other mean Student's t.
        """
        found = self._found(self.values(results))
        control = None if self.control is None else self._found(self.control.values(results))
        because = found.pop("undecided_because")
        if control is not None:
            control = {"what": self.control.what, **control}  # type: ignore[union-attr]
            if found["verdict"] == "holds" and control["verdict"] == "holds":
                found["verdict"] = "not discriminating"
            elif found["verdict"] == "holds" and control["seeds_used"] == 0:
                found["verdict"], because = "undecided", "the control has no value"
        return {
            "claim": self.sentence,
            "whose": self.whose,
            **found,
            "undecided_because": because,
            "direction": self.direction,
            "bound": self.bound,
            "measured": f"{self.centre} over {self.over} of: {self.statistic}",
            "over": self.over,
            "beside": {name: _middle(values(results)) for name, values in self.beside.items()},
            "control": control,
        }

    def frozen(self) -> dict[str, Any]:
        """Return what must not change between exploring and confirming, as JSON."""
        bound = list(self.bound) if isinstance(self.bound, tuple) else self.bound
        return {
            "claim": self.sentence,
            "measured": f"{self.centre} over {self.over} of: {self.statistic}",
            "direction": self.direction,
            "bound": bound,
            "control": None if self.control is None else self.control.what,
        }

    def _found(self, values: Any) -> dict[str, Any]:
        """Return what the values say; of several columns, the one that says it least."""
        values = np.asarray(values, dtype=np.float64)
        if values.ndim == 1:
            values = values[:, np.newaxis]
        columns = [self._of_one(column) for column in values.T]
        verdicts: list[Verdict] = ["does not hold", "undecided", "holds"]
        return min(columns, key=lambda c: (verdicts.index(c["verdict"]), self._margin(c)))

    def _of_one(self, values: np.ndarray) -> dict[str, Any]:
        usable = values[np.isfinite(values)]
        interval = self._interval(usable)
        verdict = self._verdict(interval)
        return {
            "verdict": verdict,
            "undecided_because": self._why(usable) if verdict == "undecided" else None,
            "statistic": float(getattr(np, self.centre)(usable)) if usable.size else None,
            "interval": None if interval is None else [interval.low, interval.high],
            "level": None if interval is None else interval.level,
            "method": None if interval is None else interval.method,
            "seeds": len(values),
            "seeds_used": len(usable),
        }

    def _interval(self, usable: np.ndarray) -> Interval | None:
        if self.centre == "median":
            return median_interval(usable)
        if usable.size and np.isin(usable, (0.0, 1.0)).all():
            return share_interval(int(usable.sum()), len(usable))
        return mean_interval(usable)

    def _verdict(self, interval: Interval | None) -> Verdict:
        if interval is None:
            return "undecided"
        least, most = self._bounds()
        if least < interval.low and interval.high < most:
            return "holds"
        return "does not hold" if interval.high <= least or interval.low >= most else "undecided"

    def _bounds(self) -> tuple[float, float]:
        if isinstance(self.bound, tuple):
            return self.bound
        return (self.bound, np.inf) if self.direction == "above" else (-np.inf, self.bound)

    def _margin(self, found: Mapping[str, Any]) -> float:
        if found["statistic"] is None:
            return -np.inf
        least, most = self._bounds()
        return min(found["statistic"] - least, most - found["statistic"])

    def _why(self, usable: np.ndarray) -> str:
        if len(usable) == 0:
            return f"none of the {self.over} has a value: all have diverged, or none was measured"
        ordered = np.sort(usable)
        for n in range(len(usable) + 1, _MOST_SEEDS + 1):
            # As many as n, each of these as often as the others.
            like_these = ordered[((np.arange(n) + 0.5) * len(usable) / n).astype(int)]
            if self._verdict(self._interval(like_these)) != "undecided":
                return f"{n} {self.over} like these would decide, {len(usable)} do not"
        return f"{_MOST_SEEDS} {self.over} like these would not decide either"


def _middle(values: Any) -> float | None:
    values = np.asarray(values, dtype=np.float64)
    usable = values[np.isfinite(values)]
    return float(np.median(usable)) if usable.size else None
