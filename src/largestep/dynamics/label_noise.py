"""SGD or GD with fresh noise on the labels."""

from dataclasses import dataclass

import numpy as np

from largestep import _checks
from largestep.dynamics.base import Advance, Descent, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import Noise
from largestep.dynamics.sgd import SGD
from largestep.losses import as_squared
from largestep.schedules import Schedule, as_schedule

__all__ = ["LabelNoise"]


@dataclass(frozen=True)
class LabelNoise(Dynamics):
    """A descent that sees y_i + ξ_i for y_i: r_i becomes r_i − ξ_i, with ξ_i ~ N(0, σ²).

    The noise is drawn afresh at every visit of every example. Its gradients are −ℓ'' · ξ_i φ_i,
    with ℓ'' the squared loss's constant curvature: they lie in the span of the rows of the
    Jacobian, as SGD's own noise does, but don't vanish with the loss. (Section 2 of the paper on
    SGD's noise as label noise; Blanc et al., 2020, and HaoChen et al., 2021, on what label noise
    prefers.)

    In one dimension, h(x) = θx with the single example (1, 0) and loss r²/2, the stationary
    variance of θ is ησ²/(2 − η).

    Parameters
    ----------
    sigma : standard deviation of the noise, in the targets' units: a number that is not
        negative, or a schedule of its own, a function of the same t as the step size's. At 0
        the trajectory is that of the descent alone, bit for bit.
    of : `SGD(…)` or `GD(…)`: which examples a step visits, with what cap and momentum. By
        default SGD with batch size 1. The cap scales the noise along with the gradient.

    Raises
    ------
    TypeError, ValueError
        If sigma is not a schedule or a number that is at least 0, or `of` is something else; when
        started, if the problem's loss is not a squared one: a label ±1 takes no additive noise.
    """

    sigma: Schedule | float
    of: Descent = SGD()

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, Schedule):
            _checks.number_of(self, "sigma", at_least=0.0)
        if not isinstance(self.of, Descent):
            raise TypeError(f"of must be SGD(…) or GD(…), got {self.of!r}")

    @property
    def takes_order(self) -> bool:
        """Whether the underlying descent takes an order."""
        return self.of.takes_order

    def batch(self, n: int) -> int:
        """Return how many examples the underlying descent visits."""
        return self.of.batch(n)

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        sigma = as_schedule(self.sigma)
        # ξ is a shift of the residual, the kernel's noise one of the coefficient.
        loss = as_squared(trajectory.loss, "LabelNoise adds noise to real targets")
        factor = loss.scale / self.of.batch(trajectory.n)

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            steps = len(stretch)
            order = self.of.examples(trajectory, steps)
            return trajectory.descend(
                theta,
                stretch,
                order,
                noise=Noise(
                    factor * sigma(stretch.fractions),
                    trajectory.rng.standard_normal((steps, self.of.batch(trajectory.n))),
                ),
                cap=self.of.cap,
                momentum=self.of.momentum,
            )

        return advance
