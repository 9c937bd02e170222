"""The diagonal linear network h(x) = ⟨u ⊙ v, x⟩."""

from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float

from largestep import _checks
from largestep.networks.base import (
    COMBINATION,
    PREDICTIONS,
    STRIDE,
    Network,
    compile_cached,
    compiled,
)
from largestep.networks.linear import linear_combination, linear_predictions

__all__ = ["DiagonalLinear"]


@compiled
def _diagonal(theta, x, layout, workspace, gradient):  # type: ignore[no-untyped-def]
    d = x.shape[0]
    # Slices of their own let the compiler see that u, v and the gradient never overlap.
    u, v = theta[:d], theta[d:]
    gradient_u, gradient_v = gradient[:d], gradient[d:]
    h = 0.0
    for j in range(d):
        xu = x[j] * u[j]
        h += xu * v[j]
        gradient_u[j] = x[j] * v[j]
        gradient_v[j] = xu
    return h


@numba.njit(fastmath=False)  # left out, it would be the caller's
def _rounded(a, b):  # type: ignore[no-untyped-def]
    """Return a · b as a product of its own: the compiler may not make (ca)·b of c·(ab)."""
    return a * b


@compile_cached(STRIDE)
def _stride(theta, x, i, c, following, measured, layout, workspace):  # type: ignore[no-untyped-def]
    # Up to rounding a step along the gradient that `_diagonal` writes: on processors with AVX2 the
    # bits were the same, on one with AVX-512 they were not.
    d = x.shape[1]
    u, v = theta[:d], theta[d:]
    here, there = x[i], x[following]
    h, square = 0.0, 0.0
    for j in range(d):
        moved_u = u[j] + c * _rounded(here[j], v[j])
        moved_v = v[j] + c * _rounded(here[j], u[j])
        u[j], v[j] = moved_u, moved_v
        slope_v = _rounded(there[j], moved_u)
        h += slope_v * moved_v
        if measured:
            slope_u = there[j] * moved_v
            square += slope_u * slope_u + slope_v * slope_v
    return h, square


@compile_cached(PREDICTIONS)
def _predictions(theta, x, layout, workspace, h):  # type: ignore[no-untyped-def]
    d = x.shape[1]
    u, v, weights = theta[:d], theta[d:], workspace[:d]
    for j in range(d):
        weights[j] = u[j] * v[j]
    linear_predictions(weights, x, h)


@compile_cached(COMBINATION)
def _combination(theta, x, c, layout, workspace, total):  # type: ignore[no-untyped-def]
    # Σ c_i (v ⊙ x_i, u ⊙ x_i) is (v, u) ⊙ Σ c_i x_i.
    d = x.shape[1]
    u, v, weighted = theta[:d], theta[d:], workspace[:d]
    linear_combination(x, c, weighted)
    for j in range(d):
        total[j] = weighted[j] * v[j]
        total[d + j] = weighted[j] * u[j]


@dataclass(frozen=True)
class DiagonalLinear(Network):
    """h(x) = Σ_j u_j v_j x_j with θ = (u, v): linear in x, not in its parameters (section 3.1).

    Parameters
    ----------
    d : dimension of an input; p = 2d.
    u0, v0 : the value at which every u_j and every v_j starts.

    Notes
    -----
    An SGD step on one example multiplies u_j² − v_j² by exactly 1 − (η r x_j)²: gradient flow
    conserves it, large steps destroy it, and with it the coordinates that the data don't need.
    """

    d: int
    u0: float = 0.1
    v0: float = 0.0

    prediction_and_gradient = _diagonal
    stride, predictions, combination = _stride, _predictions, _combination
    linear_in_inputs = True

    def __post_init__(self) -> None:
        _checks.integer_of(self, "d", at_least=1)
        _checks.number_of(self, "u0")
        _checks.number_of(self, "v0")

    @property
    def inputs(self) -> int:
        """The dimension of an input, d."""
        return self.d

    @property
    def parameters(self) -> int:
        """The number of parameters, 2d."""
        return 2 * self.d

    @property
    def workspace(self) -> int:
        """Room for u ⊙ v, and for a sum of inputs."""
        return self.d

    def initialize(self, rng: np.random.Generator) -> Float[np.ndarray, " p"]:
        """Return (u0, …, u0, v0, …, v0); nothing is random."""
        return np.repeat([self.u0, self.v0], self.d).astype(np.float64)

    def coefficients(self, theta: Float[np.ndarray, "*k p"]) -> Float[np.ndarray, "*k d"]:
        """Return the linear predictor u ⊙ v."""
        theta = _checks.view("theta", theta, shape=(..., self.parameters))
        return theta[..., : self.d] * theta[..., self.d :]

    def predict(
        self, theta: Float[np.ndarray, "*k p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "*k n"]:
        """Return x (u ⊙ v), for every θ of a stack."""
        theta, x = self.checked(theta, x)
        return self.coefficients(theta) @ x.T

    def jacobian_core(
        self, theta: Float[np.ndarray, " p"], x: Float[np.ndarray, "n d"]
    ) -> Float[np.ndarray, "n b"]:
        """Return x · diag(√(u² + v²)), half the size of [x∘v, x∘u] at the same singular values.

        Columns 1e-20 times smaller than the largest are left out: they move no singular value by
        as much as rounding does.
        """
        theta, x = self.checked(theta, x, stacked=False)
        size = np.hypot(theta[: self.d], theta[self.d :])
        alive = ~(size < 1e-20 * size.max())  # what is not a number stays
        return x[:, alive] * size[alive]
