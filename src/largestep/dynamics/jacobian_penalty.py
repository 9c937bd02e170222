"""Gradient descent with the Jacobian's squared norm as an explicit penalty."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import types

from largestep import _checks
from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import GIVEN, LOSS, NETWORK, STEPS, VECTOR, keep
from largestep.networks.base import aligned, compile_cached

__all__ = ["JacobianPenalizedGD"]


@dataclass(frozen=True)
class JacobianPenalizedGD(Dynamics):
    """θ ← θ − η ∇[L(θ) + λ · (1/n) Σ_i ‖∇h_θ(x_i)‖²], over all examples.

    The penalty is the mean squared norm of the Jacobian's rows: what label noise descends on
    average once the data is fitted (Blanc et al., 2020), made explicit and free of noise. On
    `DiagonalLinear`, with s_j = mean(x_j²), it is Σ_j s_j (u_j² + v_j²): at the least, for a
    given u ⊙ v, 2 Σ_j s_j |u_j v_j|, a weighted ℓ1 norm.

    Its gradient, (2λ/n) Σ_i H_i ∇h_i with H_i = ∇²h(x_i), takes no second derivatives: it is a
    difference of gradients along ∇h_i =: g, (∇h_i(θ ± εg) − ∇h_i(θ))/(±ε), where ‖εg‖ =
    10⁻⁶ (1 + ‖θ‖). Of the forward and the backward one that of smaller magnitude counts,
    coordinate by coordinate. The two agree but for rounding (some 1e-9 of ‖g‖²) where h is
    quadratic in θ, as in `DiagonalLinear`, and in a two-layer `ReLU` network between its kinks;
    elsewhere each is off by a term of order ε. A ReLU's kink within reach spoils one of them by
    a jump of size 1/ε, and the smaller is the other: the gradient is that of the smooth pieces,
    without the jumps of the penalty itself, and within reach of a kink between its two sides'.

    A step costs three gradients of every example. An `order` of examples is not looked at.

    Parameters
    ----------
    strength : λ, at least 0; 0 is GD.

    Raises
    ------
    TypeError, ValueError
        If the strength is not a number that is at least 0.
    """

    strength: float

    def __post_init__(self) -> None:
        _checks.number_of(self, "strength", at_least=0.0)

    def batch(self, n: int) -> int:
        """Return n: every step visits every example."""
        return n

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        buffers = _Buffers(*aligned(np.zeros((5, trajectory.network.parameters))))
        weights = _Weights(trajectory.loss.scale / trajectory.n, 2.0 * self.strength / trajectory.n)

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            return int(
                _descend(
                    *trajectory.functions,
                    trajectory.given,
                    theta,
                    stretch.steps,
                    weights,
                    buffers,
                )
            )

        return advance


_REACH = 1e-6


class _Weights(NamedTuple):
    """Of an example's loss gradient, and of its penalty's."""

    loss: float
    penalty: float


class _Buffers(NamedTuple):
    total: np.ndarray
    moved: np.ndarray
    gradient: np.ndarray
    forward: np.ndarray
    backward: np.ndarray


_WEIGHTS = types.BaseTuple.from_types([types.float64] * 2, _Weights)
_BUFFERS = types.BaseTuple.from_types([VECTOR] * 5, _Buffers)


@compile_cached(types.int64(NETWORK, LOSS, GIVEN, VECTOR, STEPS, _WEIGHTS, _BUFFERS))
def _descend(  # type: ignore[no-untyped-def]
    network, loss, given, theta, steps, weights, buffers
):
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    total, moved, gradient, forward, backward = buffers
    weight, penalty_weight = weights
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
            mark += 1
        square = 0.0
        for j in range(theta.shape[0]):
            square += theta[j] * theta[j]
            total[j] = 0.0
        reach = _REACH * (1.0 + np.sqrt(square))
        for i in range(x.shape[0]):
            h = network(theta, x[i], layout, workspace, gradient)
            slope = h - y[i]
            if not abs(slope) <= bound:
                return k
            if not squared:
                _, slope, _ = loss(h, y[i])
            square = 0.0
            for j in range(theta.shape[0]):
                total[j] += weight * slope * gradient[j]
                square += gradient[j] * gradient[j]
            if penalty_weight == 0.0 or square == 0.0:
                continue
            epsilon = reach / np.sqrt(square)
            for j in range(theta.shape[0]):
                moved[j] = theta[j] + epsilon * gradient[j]
            network(moved, x[i], layout, workspace, forward)
            for j in range(theta.shape[0]):
                moved[j] = theta[j] - epsilon * gradient[j]
            network(moved, x[i], layout, workspace, backward)
            for j in range(theta.shape[0]):
                ahead = forward[j] - gradient[j]
                behind = gradient[j] - backward[j]
                difference = ahead if abs(ahead) < abs(behind) else behind
                total[j] += penalty_weight / epsilon * difference
        for j in range(theta.shape[0]):
            theta[j] -= step_sizes[k] * total[j]
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]
