"""`descend` by the shortcuts that a network may offer: the same steps in fewer passes over θ."""

from numba import types

from largestep.dynamics.kernel import BATCHES, GIVEN, LOSS, MEMORY, NOISE, RULE, STEPS, VECTOR, keep
from largestep.networks.base import COMBINATION, PREDICTIONS, STRIDE, compile_cached

__all__ = ["descend_alone", "descend_together"]

_STRIDE = types.FunctionType(STRIDE)
_PREDICTIONS = types.FunctionType(PREDICTIONS)
_COMBINATION = types.FunctionType(COMBINATION)


@compile_cached(types.int64(_STRIDE, LOSS, GIVEN, VECTOR, STEPS, BATCHES, NOISE, RULE))
def descend_alone(  # type: ignore[no-untyped-def]
    stride, loss, given, theta, steps, order, noise, rule
):
    """Take the steps of `descend` at batch 1, without momentum, up to rounding.

    The pass that takes a step predicts the example that the next one visits.
    """
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    noise_scale, draws = noise
    weight, cap, _ = rule
    noisy = draws.shape[0] > 0
    capped = cap < float("inf")
    mark = 0
    i, coefficient = 0, 0.0
    for k in range(step_sizes.shape[0]):
        before, i = i, order[k, 0]
        h, square = stride(theta, x, before, coefficient, i, capped, layout, workspace)
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
            mark += 1
        slope, bend = h - y[i], 1.0
        if not abs(slope) <= bound:
            return k
        if not squared:
            _, slope, bend = loss(h, y[i])
        coefficient = -weight * slope
        if noisy:
            coefficient += noise_scale[k] * draws[k, 0]
        coefficient *= step_sizes[k]
        if capped:
            reach = step_sizes[k] * (weight * bend * square)
            if reach > cap:
                coefficient *= cap / reach
    stride(theta, x, i, coefficient, i, False, layout, workspace)
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]


@compile_cached(
    types.int64(
        _PREDICTIONS, _COMBINATION, LOSS, GIVEN, VECTOR, STEPS, NOISE, RULE, MEMORY, VECTOR
    ),
)
def descend_together(  # type: ignore[no-untyped-def]
    predictions, combination, loss, given, theta, steps, noise, rule, memory, coefficients
):
    """Take the steps of `descend` over all examples, without cap, up to rounding.

    The coefficients, one an example, are to be overwritten.
    """
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    noise_scale, draws = noise
    weight, _, momentum = rule
    gradient, velocity = memory
    noisy = draws.shape[0] > 0
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
            mark += 1
        predictions(theta, x, layout, workspace, coefficients)
        for i in range(y.shape[0]):
            h = coefficients[i]
            slope = h - y[i]
            if not abs(slope) <= bound:
                return k
            if not squared:
                _, slope, _ = loss(h, y[i])
            coefficients[i] = -weight * slope
            if noisy:
                coefficients[i] += noise_scale[k] * draws[k, i]
        combination(theta, x, coefficients, layout, workspace, gradient)
        step_size = step_sizes[k]
        for j in range(theta.shape[0]):
            velocity[j] = momentum * velocity[j] + gradient[j]
            theta[j] += step_size * velocity[j]
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]
