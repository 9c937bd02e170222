"""SGD whose step size holds the loss on a plateau, then decays: no step size to tune."""

from dataclasses import dataclass

import numpy as np

from largestep import _checks
from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory

__all__ = ["HoldLoss"]


@dataclass(frozen=True)
class HoldLoss(Dynamics):
    """SGD that finds its own step size: it holds the training loss at a level, then decays.

    The rule. Let S be a running mean of the sharpness 2c‖∇h(x_i)‖² of the examples visited (c the
    loss factor) and ℓ one of their losses c r_i². The step size is η = κ/S, and after each step
    κ ← max(1, κ · exp(gain · max(1 − ℓ/target, −10))): it rises gently while the loss is below the
    target and falls while it is above, but never below 1, the step that fits an average example
    in one go. Running means forget at the rate B/n, an epoch; they start from the whole training
    set. No example's step exceeds cap/(2c‖∇h(x_i)‖²). After the fraction `hold` of training the
    step size is constant: the geometric mean of the second half of the phase over `divisor`.

    As κ is a number without units, nothing has to be chosen for a problem: neither the start, for
    which a step size is hard to guess, nor the plateau. The target is relative to the loss of the
    predictor that is zero. Without the cap single examples make the plateau diverge; without the
    lower bound κ dies out where the loss starts far above the target.

    It is largestep's own, not the paper's. The default target suits the paper's problems and
    sparse regression of other sizes (experiment `hold`); a higher target makes features sparser,
    and beyond some 0.1 underfits. Where only a loss far above the target sparsifies, as in
    `regression-1d`, it fits the points and stays dense.

    Parameters
    ----------
    target : level of the loss to hold, as a share of the zero predictor's, c · mean(y²).
    hold : fraction of training spent holding.
    divisor : by how much the step size falls after that.
    cap : bound on the step size times an example's sharpness.
    gain : how quickly κ follows the loss, per step.
    batch_size : examples in a step, B, drawn with replacement.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range; when started, if all targets are zero.
    """

    target: float = 0.02
    hold: float = 0.5
    divisor: float = 2.0
    cap: float = 3.0
    gain: float = 3e-3
    batch_size: int = 1

    controls_step_size = True

    def __post_init__(self) -> None:
        _checks.number("target", self.target, above=0.0)
        _checks.number("hold", self.hold, above=0.0, at_most=1.0)
        _checks.number("divisor", self.divisor, above=0.0)
        _checks.number("cap", self.cap, above=0.0)
        _checks.number("gain", self.gain, above=0.0)
        _checks.integer("batch_size", self.batch_size, at_least=1)

    @property
    def takes_order(self) -> bool:
        """An order replays the examples."""
        return True

    def batch(self, n: int) -> int:
        """Return the batch size."""
        return self.batch_size

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        network = trajectory.network
        target = self.target * network.loss_factor * float(np.mean(trajectory.y**2))
        if target == 0.0:
            raise ValueError("HoldLoss needs targets y that are not all zero: it holds a share")
        control = np.empty(0)
        logarithms: list[np.ndarray] = []

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            nonlocal control
            if control.size == 0:
                control = self._control(trajectory, theta, target)
            phase, rest = stretch.split(int(np.searchsorted(stretch.fractions, self.hold)))
            completed = self._descend(trajectory, theta, phase, control)
            late = phase.fractions[:completed] >= self.hold / 2
            logarithms.append(np.log(phase.step_sizes[:completed][late]))
            if completed < len(phase) or len(rest) == 0:
                return completed
            rest.step_sizes[:] = np.exp(np.concatenate(logarithms).mean()) / self.divisor
            return completed + self._descend(trajectory, theta, rest)

        return advance

    def _control(self, trajectory: Trajectory, theta: np.ndarray, target: float) -> np.ndarray:
        """Return the kernel's control: its constants, then running loss, κ and sharpness."""
        gradients = trajectory.network.jacobian(theta, trajectory.x)
        sharpness = 2 * trajectory.network.loss_factor * np.mean(np.sum(gradients**2, axis=1))
        rate = min(1.0, self.batch_size / trajectory.n)
        return np.array([target, rate, self.gain, 1.0, target, 1.0, sharpness])

    def _descend(
        self,
        trajectory: Trajectory,
        theta: np.ndarray,
        stretch: Stretch,
        control: np.ndarray | None = None,
    ) -> int:
        order = trajectory.order(len(stretch), self.batch_size)
        return trajectory.descend(theta, stretch, order, cap=self.cap, control=control)
