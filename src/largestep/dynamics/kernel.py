"""The one compiled loop behind every dynamics: θ ← θ + η_k Σ_i c_i ∇h_θ(x_i)."""

import math

from numba import types

from largestep.networks.base import CONTRACT, compile_cached

__all__ = ["descend"]

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
        _VECTOR,
        _MATRIX,
        types.float64,
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
def descend(  # type: ignore[no-untyped-def]
    function,
    layout,
    workspace,
    x,
    y,
    theta,
    step_sizes,
    order,
    noise_scale,
    noise,
    residual_factor,
    cap,
    momentum,
    bound,
    gradient,
    velocity,
    control,
    marks,
    snapshots,
):
    """Take len(step_sizes) steps in place and return how many were completed.

    Step k visits the examples i = order[k, b] with the coefficients
    c_i = −residual_factor · r_i + noise_scale[k] · noise[k, b]; empty noise is no noise.
    An example's step size is min(η_k, cap / (residual_factor · batch · ‖∇h(x_i)‖²)).
    The loop ends before a step that meets a residual which is not at most `bound`.
    `control`, unless it is empty, sets the step sizes as `HoldLoss` says and writes them over
    those given. It holds the target of the loss, the rate of the running means, the gain and the
    least κ, then the running loss, κ and the running sharpness, carried from call to call.
    Row m of `snapshots` receives θ as it is after marks[m] steps.
    """
    batch = order.shape[1]
    noisy = noise.shape[0] > 0
    capped = cap < float("inf")
    controlled = control.shape[0] > 0
    alone = batch == 1 and momentum == 0.0
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            snapshots[mark] = theta
            mark += 1
        if controlled:
            step_sizes[k] = control[5] / control[6]
        step_size = step_sizes[k]
        squares = 0.0
        curvatures = 0.0
        if not alone:
            for j in range(theta.shape[0]):
                velocity[j] *= momentum
        for b in range(batch):
            i = order[k, b]
            residual = function(theta, x[i], layout, workspace, gradient) - y[i]
            if not abs(residual) <= bound:
                return k
            squares += residual * residual
            coefficient = -residual_factor * residual
            if noisy:
                coefficient += noise_scale[k] * noise[k, b]
            if capped:
                square = 0.0
                for j in range(theta.shape[0]):
                    square += gradient[j] * gradient[j]
                curvature = residual_factor * batch * square
                curvatures += curvature
                if step_size * curvature > cap:
                    coefficient *= cap / (step_size * curvature)
            if alone:
                coefficient *= step_size
                for j in range(theta.shape[0]):
                    theta[j] += coefficient * gradient[j]
            else:
                for j in range(theta.shape[0]):
                    velocity[j] += coefficient * gradient[j]
        if not alone:
            for j in range(theta.shape[0]):
                theta[j] += step_size * velocity[j]
        if controlled:
            control[4] += control[1] * (0.5 * residual_factor * squares - control[4])
            control[6] += control[1] * (curvatures / batch - control[6])
            excess = max(1.0 - control[4] / control[0], -10.0)
            control[5] = max(control[5] * math.exp(control[2] * excess), control[3])
    if mark < marks.shape[0]:
        snapshots[mark] = theta
    return step_sizes.shape[0]
