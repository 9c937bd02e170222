"""The one-parameter network h(x) = xθ², on which stabilisation can be worked out by hand."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from largestep import _checks
from largestep.networks.base import Network, compiled

__all__ = ["ScalarQuadratic"]


@compiled
def _scalar(theta, x, layout, workspace, gradient):  # type: ignore[no-untyped-def]
    gradient[0] = 2.0 * x[0] * theta[0]
    return x[0] * theta[0] * theta[0]


@dataclass(frozen=True)
class ScalarQuadratic(Network):
    """h(x) = xθ² with a single parameter (section 2 of the paper; its proposition 1).

    With targets y = xθ⋆², w = θ²/θ⋆² and a = 2ηx²θ⋆², an SGD step is w ← w(1 − a(w − 1))².

    Parameters
    ----------
    theta0 : the value at which θ starts.
    """

    theta0: float = 0.1

    prediction_and_gradient = _scalar

    def __post_init__(self) -> None:
        _checks.number("theta0", self.theta0)

    @property
    def inputs(self) -> int:
        """One input."""
        return 1

    @property
    def parameters(self) -> int:
        """One parameter."""
        return 1

    def initialize(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Return (theta0,); nothing is random."""
        return np.array([self.theta0], dtype=np.float64)

    def predict(
        self, theta: Float[np.ndarray, "*k p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return xθ², for every θ of a stack."""
        result: np.ndarray = theta**2 * x[:, 0]
        return result
