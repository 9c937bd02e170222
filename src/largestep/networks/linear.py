"""The linear predictor h(x) = θ·x: logistic regression, the perceptron, a linearised network."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from largestep import _checks
from largestep.networks.base import Network, compiled

__all__ = ["Linear"]


@compiled
def _linear(theta, x, layout, workspace, gradient):  # type: ignore[no-untyped-def]
    h = 0.0
    for j in range(x.shape[0]):
        h += theta[j] * x[j]
        gradient[j] = x[j]
    return h


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
        result: np.ndarray = theta @ x.T
        return result

    def jacobian(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n p"]:
        """Return x."""
        return np.array(x, dtype=np.float64)
