"""Gradient descent whose examples have weights that sum to one."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import types

from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import GIVEN, LOSS, NETWORK, STEPS, VECTOR, keep
from largestep.networks.base import aligned, compile_cached

__all__ = ["NormalizedGD"]


@dataclass(frozen=True)
class NormalizedGD(Dynamics):
    """θ ← θ − η Σ_i ℓ'_i ∇h(x_i) / Σ_i |ℓ'_i|: gradient descent over the mean slope.

    With the logistic loss the weights say which examples are still wrong. Once few are, plain
    gradient descent hardly moves; this takes full steps (Tyurin, 2024). It stops where every slope
    is zero.

    Nothing is random: an `order` of examples is not looked at.
    """

    def batch(self, n: int) -> int:
        """Return n: every step visits every example."""
        return n

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        buffers = _Buffers(*aligned(np.zeros((2, trajectory.network.parameters))))

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            return int(
                _descend(*trajectory.functions, trajectory.given, theta, stretch.steps, buffers)
            )

        return advance


class _Buffers(NamedTuple):
    total: np.ndarray
    gradient: np.ndarray


_BUFFERS = types.BaseTuple.from_types([VECTOR] * 2, _Buffers)


@compile_cached(types.int64(NETWORK, LOSS, GIVEN, VECTOR, STEPS, _BUFFERS))
def _descend(network, loss, given, theta, steps, buffers):  # type: ignore[no-untyped-def]
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    total, gradient = buffers
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
            mark += 1
        for j in range(theta.shape[0]):
            total[j] = 0.0
        slopes = 0.0
        for i in range(x.shape[0]):
            h = network(theta, x[i], layout, workspace, gradient)
            slope = h - y[i]
            if not abs(slope) <= bound:
                return k
            if not squared:
                _, slope, _ = loss(h, y[i])
            slopes += abs(slope)
            for j in range(theta.shape[0]):
                total[j] += slope * gradient[j]
        if slopes > 0.0:
            for j in range(theta.shape[0]):
                theta[j] -= step_sizes[k] * total[j] / slopes
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]
