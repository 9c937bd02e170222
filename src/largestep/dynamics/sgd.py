"""Stochastic gradient descent."""

from dataclasses import dataclass

import numpy as np

from largestep import checks
from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(Dynamics):
    """θ ← θ − η · (1/B) Σ_{i∈B} ∇ℓ_i, the batch drawn uniformly with replacement (section 2).

    Parameters
    ----------
    batch_size : examples in a step, B.
    """

    batch_size: int = 1
    cap: float | None = None

    def __post_init__(self) -> None:
        checks.integer("batch_size", self.batch_size, at_least=1)
        if self.cap is not None:
            checks.number("cap", self.cap, above=0.0)

    def batch(self, n: int) -> int:
        """Return the batch size."""
        return self.batch_size

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            order = trajectory.order(len(stretch), self.batch_size)
            return trajectory.descend(theta, stretch, order, cap=self.cap)

        return advance
