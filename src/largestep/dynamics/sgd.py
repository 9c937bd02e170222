"""Stochastic gradient descent."""

from dataclasses import dataclass

import numpy as np

from largestep import _checks
from largestep.dynamics.base import Descent, Trajectory

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD(Descent):
    """θ ← θ − η · (1/B) Σ_{i∈B} ∇ℓ_i, the batch drawn uniformly with replacement (section 2).

    Parameters
    ----------
    batch_size : examples in a step, B.
    cap : upper bound c > 0 on step size times sharpness, for each example: its step size is
        min(η, c / (ℓ'' · ‖∇h(x_i)‖²)), ℓ'' the curvature of the loss in h, a constant of the
        squared loss. With that, to first order, a step on it alone multiplies its residual by
        1 − c at the least. Not in the paper. By default None, no bound. On
        `DiagonalLinear` c = 4 acts on 1 or 2 steps of a thousand and changes nothing visible,
        but no run diverges; for `ReLU` networks take 3; at c = 2 no step makes its residual
        larger any more, to first order, and the plateau is gone.
    momentum : μ in [0, 1) of v ← μv + g, θ ← θ − ηv, as `torch.optim.SGD` has it, where g is the
        batch's (capped) gradient and v starts at 0. 0 is plain SGD. A gradient moves θ by
        η/(1 − μ) in all: the step sizes that a plateau needs are smaller by about 1 − μ.

    Raises
    ------
    TypeError, ValueError
        If the batch size is not a positive integer, the cap not a positive number, or the
        momentum not in [0, 1).
    """

    batch_size: int = 1
    cap: float | None = None
    momentum: float = 0.0

    def __post_init__(self) -> None:
        _checks.integer_of(self, "batch_size", at_least=1)
        super().__post_init__()

    @property
    def takes_order(self) -> bool:
        """An order replays the examples."""
        return True

    def batch(self, n: int) -> int:
        """Return the batch size."""
        return self.batch_size

    def examples(self, trajectory: Trajectory, steps: int) -> np.ndarray:
        """Return the next example indices of the trajectory's order."""
        return trajectory.order(steps, self.batch_size)
