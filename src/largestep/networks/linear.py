"""The linear predictor h(x) = θ·x: logistic regression, the perceptron, a linearised network."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numba import types

from largestep import _checks
from largestep.networks.base import COMBINATION, PREDICTIONS, Network, compile_cached, compiled

__all__ = ["Linear", "linear_combination", "linear_predictions"]

_VECTOR = types.float64[::1]
_MATRIX = types.float64[:, ::1]


@compiled
def _linear(theta, x, layout, workspace, gradient):  # type: ignore[no-untyped-def]
    h = 0.0
    for j in range(x.shape[0]):
        h += theta[j] * x[j]
        gradient[j] = x[j]
    return h


# Four rows at a time: each weight, or sum, is then loaded once for four products. The compiler
# does not find this, and without it the loads take twice as long as the arithmetic.


@compile_cached(types.void(_VECTOR, _MATRIX, _VECTOR))
def linear_predictions(weights, x, h):  # type: ignore[no-untyped-def]
    """Overwrite h with the products weights · x_i."""
    whole = x.shape[0] - x.shape[0] % 4
    for i in range(0, whole, 4):
        h0, h1, h2, h3 = 0.0, 0.0, 0.0, 0.0
        for j in range(x.shape[1]):
            h0 += x[i, j] * weights[j]
            h1 += x[i + 1, j] * weights[j]
            h2 += x[i + 2, j] * weights[j]
            h3 += x[i + 3, j] * weights[j]
        h[i], h[i + 1], h[i + 2], h[i + 3] = h0, h1, h2, h3
    for i in range(whole, x.shape[0]):
        h[i] = 0.0
        for j in range(x.shape[1]):
            h[i] += x[i, j] * weights[j]


@compile_cached(types.void(_MATRIX, _VECTOR, _VECTOR))
def linear_combination(x, c, total):  # type: ignore[no-untyped-def]
    """Overwrite total with Σ c_i x_i."""
    whole = x.shape[0] - x.shape[0] % 4
    for j in range(x.shape[1]):
        total[j] = 0.0
    for i in range(0, whole, 4):
        c0, c1, c2, c3 = c[i], c[i + 1], c[i + 2], c[i + 3]
        for j in range(x.shape[1]):
            total[j] += c0 * x[i, j] + c1 * x[i + 1, j] + c2 * x[i + 2, j] + c3 * x[i + 3, j]
    for i in range(whole, x.shape[0]):
        for j in range(x.shape[1]):
            total[j] += c[i] * x[i, j]


@compile_cached(PREDICTIONS)
def _predictions(theta, x, layout, workspace, h):  # type: ignore[no-untyped-def]
    linear_predictions(theta, x, h)


@compile_cached(COMBINATION)
def _combination(theta, x, c, layout, workspace, total):  # type: ignore[no-untyped-def]
    linear_combination(x, c, total)


@dataclass(frozen=True)
class Linear(Network):
    """h(x) = θ·x, which starts at zero; a bias is a column of ones.

    With the rows of a network's Jacobian as inputs and zeros as targets, its dynamics are those of
    the network linearised at a point where it fits all examples.

    Parameters
    ----------
    d : dimension of an input.

    Raises
    ------
    TypeError, ValueError
        If d is not a positive integer.
    """

    d: int

    prediction_and_gradient = _linear
    predictions, combination = _predictions, _combination
    linear_in_inputs = True

    def __post_init__(self) -> None:
        _checks.integer("d", self.d, at_least=1)

    @property
    def inputs(self) -> int:
        """The dimension of an input, d."""
        return self.d

    @property
    def parameters(self) -> int:
        """The number of parameters, d."""
        return self.d

    def initialize(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Return zeros; nothing is random."""
        return np.zeros(self.d)

    def predict(
        self, theta: Float[np.ndarray, "*k p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return θ·x at every row of x, for every θ of a stack."""
        theta, x = self.checked(theta, x)
        result: np.ndarray = theta @ x.T
        return result
