"""The step size as a pure function of t, the fraction of training done.

Examples
--------
>>> decay(0.282, factor=1.5, at=0.5)
0.282, divided by 1.5 at 50%
>>> decay(power(0.04, 0.24, exponent=0.5), factor=5, at=0.5)(np.array([0.0, 0.25, 0.75]))
array([0.04      , 0.14      , 0.03628427])
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from largestep import _checks

__all__ = [
    "Schedule",
    "as_schedule",
    "constant",
    "decay",
    "exponential",
    "linear",
    "piecewise",
    "power",
]


class Schedule(ABC):
    """A step size for every t in [0, 1]; never negative, never infinite.

    Schedules are built by this module's functions and compose: whatever takes a schedule takes
    a number for a constant one, and `2 * schedule` scales it.
    """

    def __call__(self, t: Float[np.ndarray, " k"] | float) -> Float[np.ndarray, " k"]:
        """Return the step sizes at the fractions t.

        Raises
        ------
        ValueError
            If a fraction lies outside [0, 1] or is NaN.
        """
        t = np.atleast_1d(np.asarray(t, dtype=np.float64))
        outside = ~((t >= 0) & (t <= 1))
        if outside.any():
            raise ValueError(f"t must lie in [0, 1], got {t[outside][0]}")
        return self._at(t)

    @abstractmethod
    def _at(self, t: np.ndarray) -> np.ndarray: ...

    def __mul__(self, factor: float) -> "Schedule":
        return _Scaled(self, _checks.number("factor", factor, at_least=0.0))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Schedule":
        return _Scaled(self, 1.0 / _checks.number("divisor", divisor, above=0.0))


def as_schedule(value: "Schedule | float") -> Schedule:
    """Return a schedule as it is, and a number as the constant schedule of that step size."""
    return value if isinstance(value, Schedule) else constant(value)


def constant(step_size: float) -> Schedule:
    """Keep one step size throughout."""
    step_size = _checks.number("step_size", step_size, at_least=0.0)
    return _Ramp(step_size, step_size, 1.0, "power", 1.0)


def linear(start: float, end: float, *, until: float = 1.0) -> Schedule:
    """Go from `start` to `end` in a straight line, reached at t = `until` and kept after it."""
    return power(start, end, exponent=1.0, until=until)


def power(start: float, end: float, *, exponent: float, until: float = 1.0) -> Schedule:
    """Go from `start` to `end` as start + (end − start)·(t/until)^exponent, then keep `end`."""
    return _Ramp(
        _checks.number("start", start, at_least=0.0),
        _checks.number("end", end, at_least=0.0),
        _checks.number("exponent", exponent, above=0.0),
        "power",
        _checks.number("until", until, above=0.0, at_most=1.0),
    )


def exponential(start: float, end: float, *, until: float = 1.0) -> Schedule:
    """Go from `start` to `end` as start·(end/start)^(t/until), then keep `end`."""
    return _Ramp(
        _checks.number("start", start, above=0.0),
        _checks.number("end", end, above=0.0),
        1.0,
        "exponential",
        _checks.number("until", until, above=0.0, at_most=1.0),
    )


def decay(before: Schedule | float, *, factor: float, at: float) -> Schedule:
    """Follow `before` while t < `at`; from then on keep its value at `at`, divided by `factor`.

    Decays nest: the outer one divides what the inner one has reached.
    """
    return _Decay(
        as_schedule(before),
        _checks.number("factor", factor, above=0.0),
        _checks.number("at", at, at_least=0.0, at_most=1.0),
    )


def piecewise(pieces: Mapping[float, Schedule | float]) -> Schedule:
    """Follow each schedule from the fraction at which it starts until the next one starts.

    Parameters
    ----------
    pieces : {fraction: schedule or step size}; the first fraction must be 0. Every schedule is
        evaluated at the t of the whole run, not of its own piece.
    """
    if not pieces:
        raise ValueError("pieces must name at least one schedule, got none")
    starts = [_checks.number("pieces", at, at_least=0.0, at_most=1.0) for at in pieces]
    if starts != sorted(set(starts)) or starts[0] != 0.0:
        raise ValueError(f"pieces must start at 0 and increase, got {starts}")
    return _Piecewise(tuple(starts), tuple(as_schedule(piece) for piece in pieces.values()))


@dataclass(frozen=True, repr=False)
class _Ramp(Schedule):
    start: float
    end: float
    exponent: float
    kind: str
    until: float

    def _at(self, t: np.ndarray) -> np.ndarray:
        progress = np.minimum(t / self.until, 1.0)
        if self.kind == "exponential":
            # Not the power of end/start, which could overflow.
            return self.start ** (1.0 - progress) * self.end**progress
        return self.start + (self.end - self.start) * progress**self.exponent

    def __repr__(self) -> str:
        if self.start == self.end:
            return f"{self.start:.12g}"
        shape = {1.0: "linearly", 0.5: "as √t"}.get(self.exponent, f"as t^{self.exponent:.12g}")
        if self.kind == "exponential":
            shape = "exponentially"
        by = "" if self.until == 1.0 else f" by {self.until:.12g}"
        return f"{self.start:.12g} → {self.end:.12g} {shape}{by}"


@dataclass(frozen=True, repr=False)
class _Decay(Schedule):
    before: Schedule
    factor: float
    at: float

    def _at(self, t: np.ndarray) -> np.ndarray:
        after = self.before(self.at)[0] / self.factor
        return np.where(t < self.at, self.before(t), after)

    def __repr__(self) -> str:
        return f"{self.before!r}, divided by {self.factor:.12g} at {100 * self.at:.12g}%"


@dataclass(frozen=True, repr=False)
class _Piecewise(Schedule):
    starts: tuple[float, ...]
    pieces: tuple[Schedule, ...]

    def _at(self, t: np.ndarray) -> np.ndarray:
        index = np.searchsorted(self.starts, t, side="right") - 1
        return np.stack([piece(t) for piece in self.pieces])[index, np.arange(len(t))]

    def __repr__(self) -> str:
        parts = zip(self.starts, self.pieces, strict=True)
        return "; ".join(f"from {100 * at:.12g}%: {piece!r}" for at, piece in parts)


@dataclass(frozen=True, repr=False)
class _Scaled(Schedule):
    base: Schedule
    factor: float

    def _at(self, t: np.ndarray) -> np.ndarray:
        return self.factor * self.base(t)

    def __repr__(self) -> str:
        return f"{self.factor:.12g} × ({self.base!r})"
