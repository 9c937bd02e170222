"""Sharpness-aware minimisation."""

from dataclasses import dataclass

import numpy as np
from numba import types

from largestep import _checks
from largestep.dynamics.base import Advance, Descent, Dynamics, Stretch, Trajectory
from largestep.dynamics.sgd import SGD
from largestep.networks.base import CONTRACT, compile_cached

__all__ = ["SAM"]


@dataclass(frozen=True)
class SAM(Dynamics):
    """θ ← θ − η (1/B) Σ_{i∈B} ∇ℓ_i(θ_i'), the gradients taken uphill of θ, not normalised.

    θ_i' = θ + ρ ∇ℓ_i(θ), each example's own (1-SAM), or θ' = θ + ρ (1/B) Σ_{i∈B} ∇ℓ_i(θ), the
    batch's (n-SAM, when the batch is all n). With a batch of one they are the same. To first
    order in ρ they descend L + (ρ/2) (1/n) Σ ‖∇ℓ_i‖² and L + (ρ/2) ‖∇L‖²: the first weighs the
    examples' ‖φ_i‖² with their own r_i², whatever their signs. (Foret et al., 2021, who divide
    the ascent by its norm; Andriushchenko and Flammarion, 2022, for the forms here.)

    Parameters
    ----------
    rho : ρ, how far uphill, in the units of the step size (not of a distance, as there is no
        normalisation). At 0 this is the descent alone, up to rounding.
    of : `SGD(…)` or `GD(…)`: which examples a step visits, with what cap and momentum. By
        default SGD with batch size 1. The cap is held against ‖∇h(x_i)‖² uphill, where the step
        is taken from.
    per_example : 1-SAM, the default; else n-SAM.

    Raises
    ------
    TypeError, ValueError
        If rho is not a number that is at least 0, or `of` is something else.

    Notes
    -----
    A residual beyond the bound, at θ or uphill, is a divergence: large ρ diverges as large η
    does.
    """

    rho: float
    of: Descent = SGD()
    per_example: bool = True

    def __post_init__(self) -> None:
        _checks.number("rho", self.rho, at_least=0.0)
        if not isinstance(self.of, Descent):
            raise TypeError(f"of must be SGD(…) or GD(…), got {self.of!r}")

    @property
    def takes_order(self) -> bool:
        """Whether the underlying descent takes an order."""
        return self.of.takes_order

    def batch(self, n: int) -> int:
        """Return how many examples the underlying descent visits."""
        return self.of.batch(n)

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        buffers = np.zeros((3, trajectory.network.parameters))

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            return int(
                _descend(
                    trajectory.network.prediction_and_gradient,
                    *trajectory.scratch,
                    trajectory.x,
                    trajectory.y,
                    theta,
                    stretch.step_sizes,
                    self.of.examples(trajectory, len(stretch)),
                    2.0 * trajectory.network.loss_factor,
                    self.rho,
                    self.per_example,
                    np.inf if self.of.cap is None else self.of.cap,
                    self.of.momentum,
                    trajectory.bound,
                    *buffers,
                    stretch.marks,
                    stretch.snapshots,
                )
            )

        return advance


_VECTOR = types.float64[::1]
_MATRIX = types.float64[:, ::1]


@compile_cached(
    types.int64(
        types.FunctionType(CONTRACT),
        types.int64[::1],
        _VECTOR,
        _MATRIX,
        _VECTOR,
        _VECTOR,
        _VECTOR,
        types.int64[:, ::1],
        types.float64,
        types.float64,
        types.boolean,
        types.float64,
        types.float64,
        types.float64,
        _VECTOR,
        _VECTOR,
        _VECTOR,
        types.int64[::1],
        _MATRIX,
    )
)
def _descend(  # type: ignore[no-untyped-def]
    function,
    layout,
    workspace,
    x,
    y,
    theta,
    step_sizes,
    order,
    residual_factor,
    rho,
    per_example,
    cap,
    momentum,
    bound,
    velocity,
    uphill,
    gradient,
    marks,
    snapshots,
):
    batch = order.shape[1]
    capped = cap < float("inf")
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            snapshots[mark] = theta
            mark += 1
        step_size = step_sizes[k]
        for j in range(theta.shape[0]):
            velocity[j] *= momentum
            uphill[j] = theta[j]
        if not per_example:
            for b in range(batch):
                i = order[k, b]
                residual = function(theta, x[i], layout, workspace, gradient) - y[i]
                if not abs(residual) <= bound:
                    return k
                climb = rho * residual_factor * residual / batch
                for j in range(theta.shape[0]):
                    uphill[j] += climb * gradient[j]
        for b in range(batch):
            i = order[k, b]
            if per_example:
                residual = function(theta, x[i], layout, workspace, gradient) - y[i]
                if not abs(residual) <= bound:
                    return k
                climb = rho * residual_factor * residual
                for j in range(theta.shape[0]):
                    uphill[j] = theta[j] + climb * gradient[j]
            residual = function(uphill, x[i], layout, workspace, gradient) - y[i]
            if not abs(residual) <= bound:
                return k
            coefficient = residual_factor * residual / batch
            if capped:
                square = 0.0
                for j in range(theta.shape[0]):
                    square += gradient[j] * gradient[j]
                curvature = residual_factor * square
                if step_size * curvature > cap:
                    coefficient *= cap / (step_size * curvature)
            for j in range(theta.shape[0]):
                velocity[j] += coefficient * gradient[j]
        for j in range(theta.shape[0]):
            theta[j] -= step_size * velocity[j]
    if mark < marks.shape[0]:
        snapshots[mark] = theta
    return step_sizes.shape[0]
