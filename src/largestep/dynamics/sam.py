"""Sharpness-aware minimisation."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import types

from largestep import _checks
from largestep.dynamics.base import Advance, Descent, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import BATCHES, GIVEN, LOSS, NETWORK, STEPS, VECTOR
from largestep.dynamics.sgd import SGD
from largestep.networks.base import compile_cached

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
        _checks.number_of(self, "rho", at_least=0.0)
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
        buffers = _Buffers(*np.zeros((3, trajectory.network.parameters)))
        rule = _Rule(
            float(trajectory.loss.scale),
            float(self.rho),
            self.per_example,
            np.inf if self.of.cap is None else float(self.of.cap),
            float(self.of.momentum),
        )

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            return int(
                _descend(
                    *trajectory.functions,
                    trajectory.given,
                    theta,
                    stretch.steps,
                    self.of.examples(trajectory, len(stretch)),
                    rule,
                    buffers,
                )
            )

        return advance


class _Rule(NamedTuple):
    scale: float
    rho: float
    per_example: bool
    cap: float
    momentum: float


class _Buffers(NamedTuple):
    velocity: np.ndarray
    uphill: np.ndarray
    gradient: np.ndarray


_RULE = types.BaseTuple.from_types(
    [types.float64, types.float64, types.boolean, types.float64, types.float64], _Rule
)
_BUFFERS = types.BaseTuple.from_types([VECTOR, VECTOR, VECTOR], _Buffers)


@compile_cached(types.int64(NETWORK, LOSS, GIVEN, VECTOR, STEPS, BATCHES, _RULE, _BUFFERS))
def _descend(  # type: ignore[no-untyped-def]
    network, loss, given, theta, steps, order, rule, buffers
):
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    scale, rho, per_example, cap, momentum = rule
    velocity, uphill, gradient = buffers
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
                h = network(theta, x[i], layout, workspace, gradient)
                slope, bend = h - y[i], 1.0
                if not abs(slope) <= bound:
                    return k
                if not squared:
                    _, slope, bend = loss(h, y[i])
                climb = rho * scale * slope / batch
                for j in range(theta.shape[0]):
                    uphill[j] += climb * gradient[j]
        for b in range(batch):
            i = order[k, b]
            if per_example:
                h = network(theta, x[i], layout, workspace, gradient)
                slope, bend = h - y[i], 1.0
                if not abs(slope) <= bound:
                    return k
                if not squared:
                    _, slope, bend = loss(h, y[i])
                climb = rho * scale * slope
                for j in range(theta.shape[0]):
                    uphill[j] = theta[j] + climb * gradient[j]
            h = network(uphill, x[i], layout, workspace, gradient)
            slope, bend = h - y[i], 1.0
            if not abs(slope) <= bound:
                return k
            if not squared:
                _, slope, bend = loss(h, y[i])
            coefficient = scale * slope / batch
            if capped:
                square = 0.0
                for j in range(theta.shape[0]):
                    square += gradient[j] * gradient[j]
                curvature = scale * bend * square
                if step_size * curvature > cap:
                    coefficient *= cap / (step_size * curvature)
            for j in range(theta.shape[0]):
                velocity[j] += coefficient * gradient[j]
        for j in range(theta.shape[0]):
            theta[j] -= step_size * velocity[j]
    if mark < marks.shape[0]:
        snapshots[mark] = theta
    return step_sizes.shape[0]
