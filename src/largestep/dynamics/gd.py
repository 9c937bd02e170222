"""Gradient descent."""

from dataclasses import dataclass

import numpy as np

from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory

__all__ = ["GD"]


@dataclass(frozen=True)
class GD(Dynamics):
    """θ ← θ − η ∇L(θ), over all examples; with small steps it follows the gradient flow."""

    def batch(self, n: int) -> int:
        """Return n: every step visits every example."""
        return n

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        everyone = np.arange(trajectory.n)

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            return trajectory.descend(theta, stretch, np.tile(everyone, (len(stretch), 1)))

        return advance
