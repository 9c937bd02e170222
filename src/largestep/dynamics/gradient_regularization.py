"""The gradient's norm as a penalty, by a second gradient uphill; sharpness-aware minimisation."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import types

from largestep import _checks
from largestep.dynamics.base import Advance, Descent, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import BATCHES, GIVEN, LOSS, NETWORK, STEPS, VECTOR, keep
from largestep.dynamics.sgd import SGD
from largestep.networks.base import aligned, compile_cached

__all__ = ["SAM", "GradientRegularization"]


class _Uphill(Dynamics):
    """Descends g + (γ/ε) (g(θ + εg) − g): what the two below share."""

    of: Descent
    per_example: bool

    @property
    def takes_order(self) -> bool:
        """Whether the underlying descent takes an order."""
        return self.of.takes_order

    def batch(self, n: int) -> int:
        """Return how many examples the underlying descent visits."""
        return self.of.batch(n)

    def _check(self) -> None:
        if not isinstance(self.of, Descent):
            raise TypeError(f"of must be SGD(…) or GD(…), got {self.of!r}")

    def _start(self, trajectory: Trajectory, strength: float, reach: float) -> Advance:
        buffers = _Buffers(*aligned(np.zeros((4, trajectory.network.parameters))))
        rule = _Rule(
            float(trajectory.loss.scale),
            float(reach),
            1.0 if strength == reach else strength / reach,
            self.per_example,
            np.inf if self.of.cap is None else float(self.of.cap),
            float(self.of.momentum),
        )

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            order = self.of.examples(trajectory, len(stretch))
            if order is None:
                order = trajectory.every(len(stretch))
            return int(
                _descend(
                    *trajectory.functions,
                    trajectory.given,
                    theta,
                    stretch.steps,
                    order,
                    rule,
                    buffers,
                )
            )

        return advance


@dataclass(frozen=True)
class GradientRegularization(_Uphill):
    """θ ← θ − η [g + (γ/ε)(g(θ + εg) − g)], g the loss's gradient: a penalty on its norm.

    The difference of gradients is (γ/2) ∇‖g‖² for small ε; what a finite ε of either sign adds to
    it is the point (Karakida et al., 2023: uphill regularises more, downhill less). ε = γ is
    `SAM`. Full batch or per example, as there; with `GD` the full-batch penalty is that of
    Geiping et al. (2022), who put it in the place of SGD's noise.

    Parameters
    ----------
    strength : γ, at least 0; 0 is the descent alone, up to rounding.
    reach : ε, in the units of the step size; not 0. A negative one goes downhill.
    of : `SGD(…)` or `GD(…)`: which examples a step visits, with what cap and momentum. By
        default SGD with batch size 1. The cap is held against ‖∇h(x_i)‖² at θ + εg, and
        shortens both of an example's gradients.
    per_example : each example has a penalty of its own, the default; else the batch's mean has.

    Raises
    ------
    TypeError, ValueError
        If the strength is not a number that is at least 0, the reach is 0, or `of` is something
        else.
    """

    strength: float
    reach: float
    of: Descent = SGD()
    per_example: bool = True

    def __post_init__(self) -> None:
        _checks.number_of(self, "strength", at_least=0.0)
        if _checks.number_of(self, "reach") == 0.0:
            raise ValueError("reach must not be 0: take a small one of either sign")
        self._check()

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        return self._start(trajectory, self.strength, self.reach)


@dataclass(frozen=True)
class SAM(_Uphill):
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
    It is `GradientRegularization` with strength and reach ρ.
    A residual beyond the bound, at θ or uphill, is a divergence: large ρ diverges as large η
    does.
    """

    rho: float
    of: Descent = SGD()
    per_example: bool = True

    def __post_init__(self) -> None:
        _checks.number_of(self, "rho", at_least=0.0)
        self._check()

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        # The share of the gradient at θ is then zero, whatever the reach.
        return self._start(trajectory, self.rho, self.rho)


class _Rule(NamedTuple):
    """How a step is made.

    Attributes
    ----------
    scale : of the loss.
    reach : ε.
    share : γ/ε, of the gradient at θ + εg; that at θ has the rest of 1.
    per_example, cap, momentum : as of the dynamics.
    """

    scale: float
    reach: float
    share: float
    per_example: bool
    cap: float
    momentum: float


class _Buffers(NamedTuple):
    velocity: np.ndarray
    uphill: np.ndarray
    gradient: np.ndarray
    here: np.ndarray


_RULE = types.BaseTuple.from_types(
    [types.float64, types.float64, types.float64, types.boolean, types.float64, types.float64],
    _Rule,
)
_BUFFERS = types.BaseTuple.from_types([VECTOR] * 4, _Buffers)


@compile_cached(types.int64(NETWORK, LOSS, GIVEN, VECTOR, STEPS, BATCHES, _RULE, _BUFFERS))
def _descend(  # type: ignore[no-untyped-def]
    network, loss, given, theta, steps, order, rule, buffers
):
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    scale, reach, share, per_example, cap, momentum = rule
    velocity, uphill, gradient, here = buffers
    rest = 1.0 - share
    batch = order.shape[1]
    capped = cap < float("inf")
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
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
                climb = reach * scale * slope / batch
                for j in range(theta.shape[0]):
                    uphill[j] += climb * gradient[j]
        for b in range(batch):
            i = order[k, b]
            at_theta = 0.0
            if per_example or rest != 0.0:
                h = network(theta, x[i], layout, workspace, here)
                slope, bend = h - y[i], 1.0
                if not abs(slope) <= bound:
                    return k
                if not squared:
                    _, slope, bend = loss(h, y[i])
                at_theta = rest * scale * slope / batch
                if per_example:
                    climb = reach * scale * slope
                    for j in range(theta.shape[0]):
                        uphill[j] = theta[j] + climb * here[j]
            h = network(uphill, x[i], layout, workspace, gradient)
            slope, bend = h - y[i], 1.0
            if not abs(slope) <= bound:
                return k
            if not squared:
                _, slope, bend = loss(h, y[i])
            coefficient = scale * slope / batch
            shorter = 1.0
            if capped:
                square = 0.0
                for j in range(theta.shape[0]):
                    square += gradient[j] * gradient[j]
                curvature = scale * bend * square
                if step_size * curvature > cap:
                    shorter = cap / (step_size * curvature)
            coefficient *= share * shorter
            for j in range(theta.shape[0]):
                velocity[j] += coefficient * gradient[j]
            if rest != 0.0:
                for j in range(theta.shape[0]):
                    velocity[j] += at_theta * shorter * here[j]
        for j in range(theta.shape[0]):
            theta[j] -= step_size * velocity[j]
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]
