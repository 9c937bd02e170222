"""Gradient descent with the Jacobian's squared norm as an explicit penalty."""

from dataclasses import dataclass

import numpy as np
from numba import types

from largestep import _checks
from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory
from largestep.networks.base import CONTRACT, compile_cached

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
        _checks.number("strength", self.strength, at_least=0.0)

    def batch(self, n: int) -> int:
        """Return n: every step visits every example."""
        return n

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        buffers = np.zeros((5, trajectory.network.parameters))

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            return int(
                _descend(
                    trajectory.network.prediction_and_gradient,
                    *trajectory.scratch,
                    trajectory.x,
                    trajectory.y,
                    theta,
                    stretch.step_sizes,
                    2.0 * trajectory.network.loss_factor / trajectory.n,
                    2.0 * self.strength / trajectory.n,
                    trajectory.bound,
                    *buffers,
                    stretch.marks,
                    stretch.snapshots,
                )
            )

        return advance


_REACH = 1e-6
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
        types.float64,
        types.float64,
        types.float64,
        _VECTOR,
        _VECTOR,
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
    residual_factor,
    penalty_factor,
    bound,
    total,
    moved,
    gradient,
    forward,
    backward,
    marks,
    snapshots,
):
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            snapshots[mark] = theta
            mark += 1
        square = 0.0
        for j in range(theta.shape[0]):
            square += theta[j] * theta[j]
            total[j] = 0.0
        reach = _REACH * (1.0 + np.sqrt(square))
        for i in range(x.shape[0]):
            residual = function(theta, x[i], layout, workspace, gradient) - y[i]
            if not abs(residual) <= bound:
                return k
            square = 0.0
            for j in range(theta.shape[0]):
                total[j] += residual_factor * residual * gradient[j]
                square += gradient[j] * gradient[j]
            if penalty_factor == 0.0 or square == 0.0:
                continue
            epsilon = reach / np.sqrt(square)
            for j in range(theta.shape[0]):
                moved[j] = theta[j] + epsilon * gradient[j]
            function(moved, x[i], layout, workspace, forward)
            for j in range(theta.shape[0]):
                moved[j] = theta[j] - epsilon * gradient[j]
            function(moved, x[i], layout, workspace, backward)
            for j in range(theta.shape[0]):
                ahead = forward[j] - gradient[j]
                behind = gradient[j] - backward[j]
                difference = ahead if abs(ahead) < abs(behind) else behind
                total[j] += penalty_factor / epsilon * difference
        for j in range(theta.shape[0]):
            theta[j] -= step_sizes[k] * total[j]
    if mark < marks.shape[0]:
        snapshots[mark] = theta
    return step_sizes.shape[0]
