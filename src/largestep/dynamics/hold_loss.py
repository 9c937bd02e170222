"""SGD whose step size holds the loss on a plateau, then decays: no step size to tune."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import types

from largestep import _checks
from largestep.dynamics.base import Advance, Dynamics, Stretch, Trajectory
from largestep.dynamics.kernel import BATCHES, GIVEN, LOSS, NETWORK, STEPS, VECTOR, keep
from largestep.networks.base import aligned, compile_cached

__all__ = ["HoldLoss"]


@dataclass(frozen=True)
class HoldLoss(Dynamics):
    """SGD that finds its own step size: it holds the training loss at a level, then decays.

    The rule. Let S be a running mean of the sharpness ℓ''_i ‖∇h(x_i)‖² of the examples visited (ℓ''
    the curvature of the loss in h) and ℓ one of their losses. The step size is η = κ/S, and after
    each step κ ← max(1, κ · exp(gain · max(1 − ℓ/target, −10))): it rises gently while the loss is
    below the target and falls while it is above, but never below 1, the step that fits an average
    example in one go. Running means forget at the rate B/n, an epoch; they start from the whole
    training set. No example's step exceeds cap/(ℓ''_i ‖∇h(x_i)‖²). After the fraction `hold` of
    training the step size is constant: the geometric mean of the second half of the phase over
    `divisor`.

    As κ is a number without units, nothing has to be chosen for a problem: neither the start, for
    which a step size is hard to guess, nor the plateau. The target is relative to the loss of the
    predictor that is zero. Without the cap single examples make the plateau diverge; without the
    lower bound κ dies out where the loss starts far above the target.

    It is largestep's own, not the paper's. The default target suits three of the paper's four
    problems (experiment `hold`) and sparse regression of other sizes (`hold-elsewhere`); a higher
    target makes features sparser, and beyond some 0.1 underfits. Two boundaries:

    - With noise on the targets the default lies below the noise, and what it fits is noise: the
      test loss is up to twice that of the best capped step size. If the noise's share s of the zero
      predictor's loss is known (σ²/2 over it, for the loss r²/2), the target √s mends most of that:
      on twelve problems it is at most a third above the best, and mostly below the default's.
    - Where the start is lazy, as in `regression-1d` (large weights: features hardly move while the
      points are fitted), no target sparsifies. The loss has to exceed the zero predictor's for a
      while first, a catapult, as it does under the paper's rising step size; held below that, the
      network fits the points and stays dense.

    Parameters
    ----------
    target : level of the loss to hold, as a share of the zero predictor's, mean ℓ(0, y_i).
    hold : fraction of training spent holding.
    divisor : by how much the step size falls after that.
    cap : bound on the step size times an example's sharpness.
    gain : how quickly κ follows the loss, per step.
    batch_size : examples in a step, B, drawn with replacement.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range; when started, if the zero predictor has no loss.
    """

    target: float = 0.02
    hold: float = 0.5
    divisor: float = 2.0
    cap: float = 3.0
    gain: float = 3e-3
    batch_size: int = 1

    controls_step_size = True

    def __post_init__(self) -> None:
        _checks.number_of(self, "target", above=0.0)
        _checks.number_of(self, "hold", above=0.0, at_most=1.0)
        _checks.number_of(self, "divisor", above=0.0)
        _checks.number_of(self, "cap", above=0.0)
        _checks.number_of(self, "gain", above=0.0)
        _checks.integer_of(self, "batch_size", at_least=1)

    @property
    def takes_order(self) -> bool:
        """An order replays the examples."""
        return True

    def batch(self, n: int) -> int:
        """Return the batch size."""
        return self.batch_size

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
        level = float(np.mean(trajectory.loss.value(np.zeros(trajectory.n), trajectory.y)))
        if level == 0.0:
            raise ValueError("HoldLoss needs targets y that are not all zero: it holds a share")
        rule = _Rule(
            trajectory.loss.scale / self.batch_size,
            min(1.0, self.batch_size / trajectory.n),
            float(self.gain),
        )
        held: _Held | None = None
        logarithms: list[np.ndarray] = []

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            nonlocal held
            if held is None:
                held = self._at_start(trajectory, theta, self.target * level)
            phase, rest = stretch.split(int(np.searchsorted(stretch.fractions, self.hold)))
            order = trajectory.order(len(phase), self.batch_size)
            completed = int(
                _hold(
                    *trajectory.functions, trajectory.given, theta, phase.steps, order, rule, held
                )
            )
            late = phase.fractions[:completed] >= self.hold / 2
            logarithms.append(np.log(phase.step_sizes[:completed][late]))
            if completed < len(phase) or len(rest) == 0:
                return completed
            rest.step_sizes[:] = np.exp(np.concatenate(logarithms).mean()) / self.divisor
            order = trajectory.order(len(rest), self.batch_size)
            return completed + trajectory.descend(theta, rest, order, cap=self.cap)

        return advance

    def _at_start(self, trajectory: Trajectory, theta: np.ndarray, target: float) -> "_Held":
        network, loss = trajectory.network, trajectory.loss
        squares = np.sum(network.jacobian(theta, trajectory.x) ** 2, axis=1)
        bends = loss.curvature(network.predict(theta, trajectory.x), trajectory.y)
        levels = np.array([target, 1.0, np.mean(bends * squares), target, self.cap])
        return _Held(levels, *aligned(np.zeros((2, network.parameters))))


class _Rule(NamedTuple):
    weight: float
    rate: float
    gain: float


class _Held(NamedTuple):
    """What is carried from call to call.

    Attributes
    ----------
    levels : running loss, κ and running sharpness, then the target of the loss and the cap. (As
        scalars the last two would be combined before the loop, and round otherwise.)
    gradient, total : to be overwritten.
    """

    levels: np.ndarray
    gradient: np.ndarray
    total: np.ndarray


_RULE = types.BaseTuple.from_types([types.float64] * 3, _Rule)
_HELD = types.BaseTuple.from_types([VECTOR] * 3, _Held)


@compile_cached(types.int64(NETWORK, LOSS, GIVEN, VECTOR, STEPS, BATCHES, _RULE, _HELD))
def _hold(  # type: ignore[no-untyped-def]
    network, loss, given, theta, steps, order, rule, held
):
    # As `descend` without noise and momentum, but it writes the step sizes that it takes.
    layout, workspace, x, y, squared, bound = given
    step_sizes, marks, snapshots = steps
    weight, rate, gain = rule
    levels, gradient, total = held
    batch = order.shape[1]
    mark = 0
    for k in range(step_sizes.shape[0]):
        if mark < marks.shape[0] and marks[mark] == k:
            keep(theta, snapshots[mark])
            mark += 1
        step_size = levels[1] / levels[2]
        step_sizes[k] = step_size
        values = 0.0
        curvatures = 0.0
        for j in range(theta.shape[0]):
            total[j] = 0.0
        for b in range(batch):
            i = order[k, b]
            h = network(theta, x[i], layout, workspace, gradient)
            slope, bend = h - y[i], 1.0
            if not abs(slope) <= bound:
                return k
            # A product for every loss: a sum of squares is rounded once, as a fused operation.
            value, unit = 0.5 * slope, slope
            if not squared:
                value, slope, bend = loss(h, y[i])
                unit = 1.0
            values += value * unit
            coefficient = -weight * slope
            square = 0.0
            for j in range(theta.shape[0]):
                square += gradient[j] * gradient[j]
            if not squared:
                square *= bend
            curvature = weight * batch * square
            curvatures += curvature
            if step_size * curvature > levels[4]:
                coefficient *= levels[4] / (step_size * curvature)
            if batch == 1:
                coefficient *= step_size
                for j in range(theta.shape[0]):
                    theta[j] += coefficient * gradient[j]
            else:
                for j in range(theta.shape[0]):
                    total[j] += coefficient * gradient[j]
        if batch > 1:
            for j in range(theta.shape[0]):
                theta[j] += step_size * total[j]
        levels[0] += rate * (weight * values - levels[0])
        levels[2] += rate * (curvatures / batch - levels[2])
        excess = max(1.0 - levels[0] / levels[3], -10.0)
        levels[1] = max(levels[1] * math.exp(gain * excess), 1.0)
    if mark < marks.shape[0]:
        keep(theta, snapshots[mark])
    return step_sizes.shape[0]
