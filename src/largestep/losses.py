"""The contract between a loss ℓ(h, y) and a dynamics: its value, slope and curvature in h.

To add a loss, write one compiled function and one class, as `Huber` below;
`problems.Problem(x, y, loss=Huber())` is then trained by every dynamics. As a network's, the
function reaches the dynamics as a pointer, so that no dynamics is compiled anew for it.

Examples
--------
>>> import numpy as np
>>> from largestep import losses
>>> @losses.compiled
... def huber(h, y):
...     r = h - y
...     if abs(r) <= 1.0:
...         return 0.5 * r * r, r, 1.0
...     return abs(r) - 0.5, np.sign(r), 0.0
>>> class Huber(losses.Loss):
...     value_slope_curvature = huber
>>> Huber().slope(np.array([0.5, 3.0]), np.zeros(2))
array([0.5, 1. ])
"""

from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numba import types

from largestep import _checks
from largestep.networks.base import HoldsCompiled, check_compiled, compile_cached

__all__ = [
    "CONTRACT",
    "Logistic",
    "Loss",
    "Perceptron",
    "Squared",
    "compiled",
    "logistic",
    "perceptron",
    "squared",
]

CONTRACT = types.UniTuple(types.float64, 3)(types.float64, types.float64)

compiled = compile_cached(CONTRACT)
"""Decorator that compiles `f(h, y) -> (value, slope, curvature)` for the dynamics.

h : prediction; y : target; both are float64. Returns ℓ(h, y), ∂ℓ/∂h and ∂²ℓ/∂h².
"""


class Loss(HoldsCompiled, ABC):
    """A loss ℓ(h, y) of a prediction h at a target y; training descends its mean over examples.

    A subclass gives the function; it may replace `value`, `slope` and `curvature` by faster
    vectorised forms, which the tests then hold against the compiled one, and `check` where it
    does not take every target.

    Attributes
    ----------
    value_slope_curvature : the function made by `losses.compiled`.
    scale : what all three are multiplied by; 1 by default.
    """

    value_slope_curvature: Callable[[float, float], tuple[float, float, float]]
    scale: float = 1.0

    def check(self, name: str, y: Float[np.ndarray, " n"]) -> None:
        """Raise ValueError, naming the array, a value and its index, if y can't be targets."""

    def value(
        self, h: Float[np.ndarray, "*k n"], y: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return ℓ(h_i, y_i)."""
        return self._evaluate(h, y)[0]

    def slope(
        self, h: Float[np.ndarray, "*k n"], y: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return ∂ℓ/∂h at (h_i, y_i)."""
        return self._evaluate(h, y)[1]

    def curvature(
        self, h: Float[np.ndarray, "*k n"], y: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return ∂²ℓ/∂h² at (h_i, y_i)."""
        return self._evaluate(h, y)[2]

    def check_function(self) -> None:
        """Raise TypeError if `value_slope_curvature` is not made by `losses.compiled`."""
        name = f"value_slope_curvature of {type(self).__name__}"
        check_compiled(name, self.value_slope_curvature, CONTRACT)

    def _checked(self, h: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return both as float64 arrays of one shape: the border of a loss."""
        h = _checks.view("h", h, shape=(...,))
        y = _checks.view("y", y, shape=(...,))
        try:
            return tuple(np.broadcast_arrays(h, y))  # type: ignore[return-value]
        except ValueError:
            raise ValueError(
                f"h must have shape (…, n) for y of shape {y.shape}, got {h.shape}"
            ) from None

    def _evaluate(self, h: np.ndarray, y: np.ndarray) -> np.ndarray:
        self.check_function()
        h, y = self._checked(h, y)
        result = np.empty((3, h.size))
        _evaluate(self.value_slope_curvature, h.flatten(), y.flatten(), result)
        return self.scale * result.reshape(3, *h.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


@compiled
def _half_square(h, y):  # type: ignore[no-untyped-def]
    residual = h - y
    return 0.5 * residual * residual, residual, 1.0


@dataclass(frozen=True)
class Squared(Loss):
    """ℓ = factor · r² with r = h − y: the slope is 2 · factor · r, the curvature 2 · factor.

    Parameters
    ----------
    factor : 1/2 by default, as the paper has it for diagonal linear networks; 1 for its ReLU
        networks.

    Raises
    ------
    TypeError, ValueError
        If the factor is not a positive number.
    """

    factor: float = 0.5

    value_slope_curvature = _half_square

    def __post_init__(self) -> None:
        _checks.number_of(self, "factor", above=0.0)

    @property
    def scale(self) -> float:  # type: ignore[override]
        """What r²/2, r and 1 are multiplied by: 2 · factor."""
        return 2.0 * self.factor

    def value(
        self, h: Float[np.ndarray, "*k n"], y: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return factor · (h_i − y_i)²."""
        h, y = self._checked(h, y)
        result: np.ndarray = np.subtract(h, y)
        result *= result
        result *= self.factor
        return result


@compiled
def _logistic(h, y):  # type: ignore[no-untyped-def]
    margin = y * h
    small = np.exp(-abs(margin))  # never overflows
    wrong = 1.0 / (1.0 + small) if margin < 0.0 else small / (1.0 + small)
    value = np.log1p(small) + max(-margin, 0.0)
    return value, -y * wrong, y * y * small / ((1.0 + small) * (1.0 + small))


@dataclass(frozen=True)
class Logistic(Loss):
    """ℓ = log(1 + exp(−yh)) for labels y = ±1, of which h is the log-odds.

    The slope is −y/(1 + exp(yh)), the curvature 1/(4 cosh²(h/2)), 1/4 at the most.
    """

    value_slope_curvature = _logistic

    def check(self, name: str, y: Float[np.ndarray, " n"]) -> None:
        """Raise ValueError, naming the array, a value and its index, if y are not labels ±1."""
        check_labels(name, y)


@compiled
def _perceptron(h, y):  # type: ignore[no-untyped-def]
    margin = y * h
    if margin > 0.0:
        return 0.0, 0.0, 0.0
    return -margin, -y if margin < 0.0 else -0.5 * y, 0.0


@dataclass(frozen=True)
class Perceptron(Loss):
    """ℓ = max(0, −yh) for labels y = ±1: gradient descent on it is the batch perceptron.

    It is the limit of γ-scaled logistic losses, ℓ(γh)/γ for γ → ∞ (Tyurin, 2024), and so has the
    slope −y/2 at h = 0, and curvature 0 everywhere.
    """

    value_slope_curvature = _perceptron

    def check(self, name: str, y: Float[np.ndarray, " n"]) -> None:
        """Raise ValueError, naming the array, a value and its index, if y are not labels ±1."""
        check_labels(name, y)


squared = Squared()
"""r²/2, the loss of a problem unless it is given another."""

logistic = Logistic()
"""log(1 + exp(−yh)), for classification with labels ±1."""

perceptron = Perceptron()
"""max(0, −yh), the limit of large steps on the logistic loss."""


def check_labels(name: str, y: Float[np.ndarray, " n"]) -> None:
    """Raise ValueError, naming the array, a value and its index, if y are not labels ±1."""
    other = np.flatnonzero(np.abs(y) != 1.0)
    if other.size:
        raise ValueError(f"{name} must be labels, 1 or -1, got {y[other[0]]:g} at index {other[0]}")


def as_squared(loss: Loss, who: str) -> Squared:
    """Return a squared loss as it is; of another say who needs one, and why."""
    if not isinstance(loss, Squared):
        raise TypeError(f"{who}, so the problem's loss must be a squared one, got {loss!r}")
    return loss


@compile_cached(
    types.void(
        types.FunctionType(CONTRACT),
        types.float64[::1],
        types.float64[::1],
        types.float64[:, ::1],
    )
)
def _evaluate(function, h, y, result):  # type: ignore[no-untyped-def]
    for i in range(h.shape[0]):
        result[0, i], result[1, i], result[2, i] = function(h[i], y[i])
