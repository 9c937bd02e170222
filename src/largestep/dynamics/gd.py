"""Gradient descent."""

from dataclasses import dataclass

from largestep.dynamics.base import Descent, Trajectory

__all__ = ["GD"]


@dataclass(frozen=True)
class GD(Descent):
    """θ ← θ − η ∇L(θ), over all examples; with small steps it follows the gradient flow.

    Nothing is random: an `order` of examples is not looked at.

    Parameters
    ----------
    cap : as in `SGD`: each example's step size is min(η, cap / (ℓ'' · ‖∇h(x_i)‖²)).
        By default None, no cap. The sharpness of the mean loss is at most the mean of the
        examples', and far below it where gradients disagree (2 against 30, times η, on the
        plateau of `diagonal-gd`): a cap that leaves SGD as it is takes GD's plateau away.
    momentum : μ in [0, 1) of v ← μv + ∇L(θ), θ ← θ − ηv (Polyak's heavy ball, as PyTorch has
        it); 0 is plain GD. On a quadratic of curvature λ it is stable for ηλ < 2(1 + μ).

    Raises
    ------
    TypeError, ValueError
        If the cap is not a positive number, or the momentum not in [0, 1).
    """

    cap: float | None = None
    momentum: float = 0.0

    def batch(self, n: int) -> int:
        """Return n: every step visits every example."""
        return n

    def examples(self, trajectory: Trajectory, steps: int) -> None:
        """Return None: every example, in every step."""
