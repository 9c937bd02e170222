"""The compiled loop behind most dynamics, θ ← θ + η_k Σ_i c_i ∇h_θ(x_i), and what it shares.

Its arguments are grouped by what they belong to. Named tuples that are unpacked before the loop
cost nothing in it.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, types

from largestep import losses
from largestep.networks.base import CONTRACT, compile_cached

__all__ = [
    "BATCHES",
    "GIVEN",
    "LOSS",
    "MEMORY",
    "NETWORK",
    "NOISE",
    "RULE",
    "STEPS",
    "VECTOR",
    "Given",
    "Memory",
    "Noise",
    "Rule",
    "Steps",
    "descend",
    "keep",
]

NETWORK = types.FunctionType(CONTRACT)
LOSS = types.FunctionType(losses.CONTRACT)
VECTOR = types.float64[::1]
BATCHES = types.int64[:, ::1]
_MATRIX = types.float64[:, ::1]
_INTEGERS = types.int64[::1]


class Given(NamedTuple):
    """What stays the same along a trajectory.

    Attributes
    ----------
    layout, workspace : for the network's function.
    x, y : (n, d) and (n,) training points.
    squared : whether the loss is r²/2 but for its scale: its function need not be called then.
    bound : a step that meets an |h − y| not at most this is not taken. It is not the slope that
        counts, which a logistic loss bounds, nor the loss, which has no scale; and where h runs
        off on the right side of a label it has left all that a step size is meant for, too.
    """

    layout: np.ndarray
    workspace: np.ndarray
    x: np.ndarray
    y: np.ndarray
    squared: bool
    bound: float


class Steps(NamedTuple):
    """The steps to take: their sizes, and the rows of snapshots that get θ as after marks[m]."""

    sizes: np.ndarray
    marks: np.ndarray
    snapshots: np.ndarray


class Noise(NamedTuple):
    """Added to the coefficients: scale[k] · draws[k, b]; empty draws are no noise."""

    scale: np.ndarray
    draws: np.ndarray


class Rule(NamedTuple):
    """How a step is made.

    Attributes
    ----------
    weight : of an example of the batch: the loss's scale over B. (Computed in the loop, the
        compiler would move the division to where it rounds otherwise.)
    cap : on an example's step size times curvature; infinity for none.
    momentum : μ; 0 for none.
    """

    weight: float
    cap: float
    momentum: float


class Memory(NamedTuple):
    """Two vectors as long as θ: one to be overwritten, and the velocity that momentum keeps."""

    gradient: np.ndarray
    velocity: np.ndarray


GIVEN = types.BaseTuple.from_types(
    [_INTEGERS, VECTOR, _MATRIX, VECTOR, types.boolean, types.float64], Given
)
STEPS = types.BaseTuple.from_types([VECTOR, _INTEGERS, _MATRIX], Steps)
NOISE = types.BaseTuple.from_types([VECTOR, _MATRIX], Noise)
RULE = types.BaseTuple.from_types([types.float64] * 3, Rule)
MEMORY = types.BaseTuple.from_types([VECTOR, VECTOR], Memory)


@njit
def keep(theta, snapshot):  # type: ignore[no-untyped-def]
    """Copy theta; an assignment of arrays would ask whether they overlap, and make a third."""
    for j in range(theta.shape[0]):
        snapshot[j] = theta[j]


@compile_cached(types.int64(NETWORK, LOSS, GIVEN, VECTOR, STEPS, BATCHES, NOISE, RULE, MEMORY))
def descend(  # type: ignore[no-untyped-def]
    network, loss, given, theta, steps, order, noise, rule, memory
):
    """Take the steps in place and return how many were completed.

    Step k visits the B examples i = order[k, b] with the coefficients
    c_i = −ℓ'_i/B + noise.scale[k] · noise.draws[k, b].
    An example's step size is min(η_k, cap / (ℓ''_i · ‖∇h(x_i)‖²)).
    The loop ends before a step that meets a residual beyond the bound.
    """
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    noise_scale, draws = noise
    weight, cap, momentum = rule
    gradient, velocity = memory
    batch = order.shape[1]
    noisy = draws.shape[0] > 0
    capped = cap < float("inf")
    alone = batch == 1 and momentum == 0.0
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
            mark += 1
        step_size = step_sizes[k]
        if not alone:
            for j in range(theta.shape[0]):
                velocity[j] *= momentum
        for b in range(batch):
            i = order[k, b]
            h = network(theta, x[i], layout, workspace, gradient)
            slope, bend = h - y[i], 1.0
            if not abs(slope) <= bound:
                return k
            if not squared:
                _, slope, bend = loss(h, y[i])
            coefficient = -weight * slope
            if noisy:
                coefficient += noise_scale[k] * draws[k, b]
            if capped:
                square = 0.0
                for j in range(theta.shape[0]):
                    square += gradient[j] * gradient[j]
                curvature = weight * batch * bend * square
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
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]
