"""A network on patches: the same units look at every part of an input."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from largestep import _checks
from largestep.networks.base import Network, compiled
from largestep.networks.initialization import Gaussian, Initialization

__all__ = ["Patches"]


@compiled
def _patches(theta, x, layout, workspace, gradient):  # type: ignore[no-untyped-def]
    # layout: patches, dimension of a patch, units of either sign.
    patches, d, units = layout[0], layout[1], layout[2]
    output = 0.0
    for j in range(2 * units):
        outer = 1.0 / units if j < units else -1.0 / units
        weights = theta[j * d : (j + 1) * d]
        slopes = gradient[j * d : (j + 1) * d]
        for i in range(d):
            slopes[i] = 0.0
        for p in range(patches):
            patch = x[p * d : (p + 1) * d]
            z = 0.0
            for i in range(d):
                z += weights[i] * patch[i]
            if z > 0.0:
                output += outer * z * z
                for i in range(d):
                    slopes[i] += 2.0 * outer * z * patch[i]
    return output


@dataclass(frozen=True)
class Patches(Network):
    """h(x) = (1/m) Σ_j s_j Σ_p max(0, w_j·x_p)² with s_j = 1 for the first m units, −1 for m more.

    The network of Lu et al. (2023): an input is P patches of d coordinates, one after the other,
    and only the weights w_j are trained. θ lists them unit by unit.

    Parameters
    ----------
    patches : P.
    d : coordinates of a patch; an input has P·d.
    units : m, of either sign.
    weights_from : how the weights start; 0.01·N(0, 1) by default. At zero no gradient would move
        them.

    Raises
    ------
    TypeError, ValueError
        If a size is not a positive integer.
    """

    patches: int
    d: int
    units: int
    weights_from: Initialization = Gaussian(0.01)

    prediction_and_gradient = _patches

    def __post_init__(self) -> None:
        for name in ("patches", "d", "units"):
            _checks.integer_of(self, name, at_least=1)
        if not callable(self.weights_from):
            raise TypeError(
                f"weights_from must be an Initialization, got {_checks.shown(self.weights_from)}"
            )

    @property
    def inputs(self) -> int:
        """The dimension of an input, P·d."""
        return self.patches * self.d

    @property
    def parameters(self) -> int:
        """The number of parameters, 2md."""
        return 2 * self.units * self.d

    @property
    def layout(self) -> tuple[int, ...]:
        """Patches, their dimension and the units of either sign."""
        return self.patches, self.d, self.units

    def initialize(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Draw the weights at the start of training."""
        return self.weights_from(rng, (2 * self.units, self.d), self.d).ravel()

    def predict(
        self, theta: Float[np.ndarray, "*k p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return h_θ at every row of x, for every θ of a stack."""
        theta, x = self.checked(theta, x)
        weights = theta.reshape(*theta.shape[:-1], 2 * self.units, self.d)
        flat = x.reshape(-1, self.d) @ np.swapaxes(weights, -1, -2)
        squares = np.maximum(flat, 0.0) ** 2
        each = squares.reshape(*theta.shape[:-1], len(x), self.patches, 2 * self.units).sum(-2)
        signs = np.repeat([1.0, -1.0], self.units) / self.units
        result: np.ndarray = each @ signs
        return result
