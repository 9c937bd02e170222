"""The stochastic differential equation with constant noise, by which the paper explains SGD."""

from dataclasses import dataclass

import numpy as np

from largestep import _checks
from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import Noise
from largestep.losses import as_squared
from largestep.problems import Problem
from largestep.schedules import Schedule, as_schedule

__all__ = ["ConstantNoiseSDE", "plateau_noise"]


@dataclass(frozen=True)
class ConstantNoiseSDE(Dynamics):
    """dθ = −∇L(θ) dt + √(ηδ) φ_θ(X)ᵀ dB_t with B_t a Brownian motion in R^n (section 2).

    L is the mean loss over all examples. One simulated step is the time η, taken by the
    Euler–Maruyama scheme in m substeps of dt = η/m, with z_i ~ N(0, 1) fresh in each:
    θ ← θ − dt ∇L(θ) + √(ηδ dt) Σ_i z_i φ_i.

    Why it resembles SGD of batch size 1, for the loss c r²: a step of that has the gradient
    2c r_i φ_i of a random i, hence a noise of covariance η² (2c)² (1/n) Σ r_i² φ_i φ_iᵀ (less the
    outer product of the mean gradient, which is neglected). While the loss is stabilised,
    r_i² ≈ mean(r²): η² (2c)² (mean(r²)/n) φᵀφ. The SDE's is ηδ φᵀφ per unit of time, η²δ φᵀφ
    per step. The two agree for δ = (2c)² mean(r²)/n, which `plateau_noise` gives.

    It is right where that loss is flat, and for medians: early in training, or while the loss
    drifts, a constant δ is wrong (a schedule repairs that in part); the distributions differ even
    on the plateau; and δ has to be measured, the SDE does not predict it. The scheme converges
    to the SDE as m grows, weakly with order 1 and strongly with order 1/2. At m = 1 its drift is
    GD of step size η, which it shares with SGD: SGD is compared with that. An `order` of
    examples is not looked at.

    Parameters
    ----------
    delta : δ, a number that is not negative, or a schedule for one measured over time, a function
        of the same t as the step size's (`schedules.piecewise({t: δ, …})`). At 0 this is GD, at
        large m the gradient flow.
    substeps : Euler–Maruyama steps in a time η, m. By default 1.
    noise_after_decay : whether the noise goes on where the step size is lower than it has been.
        By default it does not: after a decay SGD's loss, and its noise, vanish. So the noise
        acts in the steps whose step size is the largest yet (up to rounding): throughout a
        constant schedule or a warm-up, but only in the first step of one that falls throughout.

    Raises
    ------
    TypeError, ValueError
        If delta is not a schedule or a number that is at least 0, or substeps not a positive
        integer.
    """

    delta: Schedule | float
    substeps: int = 1
    noise_after_decay: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.delta, Schedule):
            _checks.number_of(self, "delta", at_least=0.0)
        _checks.integer_of(self, "substeps", at_least=1)

    def batch(self, n: int) -> int:
        """Return n times the substeps: each of these visits every example."""
        return n * self.substeps

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        delta = as_schedule(self.delta)
        largest = 0.0

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            nonlocal largest
            sizes = stretch.step_sizes
            # √(ηδ dt) z = dt · √(δ/(dt/η)) z: the kernel multiplies by the step size dt.
            scale = np.sqrt(delta(stretch.fractions) * self.substeps)
            if not self.noise_after_decay:
                peaks = np.maximum(np.maximum.accumulate(sizes), largest)
                largest = float(peaks[-1])
                scale[sizes < (1.0 - 1e-9) * peaks] = 0.0
            steps = len(stretch) * self.substeps
            fine = Stretch(
                np.repeat(sizes / self.substeps, self.substeps),
                stretch.marks * self.substeps,
                stretch.snapshots,
                np.repeat(stretch.fractions, self.substeps),
            )
            completed = trajectory.descend(
                theta,
                fine,
                None,
                noise=Noise(
                    np.repeat(scale, self.substeps),
                    trajectory.rng.standard_normal((steps, trajectory.n)),
                ),
            )
            return completed // self.substeps

        return advance


def plateau_noise(train_loss: float, problem: Problem, *, batch_size: int = 1) -> float:
    """Return the δ at which the constant-noise SDE has the noise of SGD on a plateau.

    δ = (2c)² mean(r²)/(nB) = 4c · loss/(nB) for the loss c r² of n training points: for c = 1/2,
    the mean squared residual over n.

    Parameters
    ----------
    train_loss : the training loss of SGD on its plateau, the *mean* over its steps (noise adds up
        by its mean; the median is lower, as the loss is skewed), from runs that don't diverge.
    problem : what it was trained on; its n and its loss count.
    batch_size : of SGD, B, drawn with replacement.

    Raises
    ------
    TypeError, ValueError
        If the loss is negative or not finite, the batch size not a positive integer, or the
        problem's loss not a squared one: of another, r² does not follow from the loss.

    Examples
    --------
    >>> from largestep.problems import sparse_regression
    >>> plateau_noise(0.055, sparse_regression(n=80, d=200, nonzeros=20))  # 0.11/80
    0.001375
    """
    train_loss = _checks.number("train_loss", train_loss, at_least=0.0)
    batch_size = _checks.integer("batch_size", batch_size, at_least=1)
    _checks.kind("problem", problem, Problem)
    loss = as_squared(problem.loss, "plateau_noise infers squared residuals")
    return 4.0 * loss.factor * train_loss / (problem.n * batch_size)
