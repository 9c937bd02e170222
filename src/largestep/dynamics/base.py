"""What every dynamics shares: a trajectory's material, and the way to set it in motion."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from largestep import _checks
from largestep.dynamics.kernel import Given, Memory, Noise, Rule, Steps, descend
from largestep.dynamics.shortcuts import descend_alone, descend_together
from largestep.losses import Loss, Squared
from largestep.networks.base import Network, aligned

__all__ = ["Advance", "Descent", "Dynamics", "Stretch", "Trajectory"]


@dataclass(frozen=True)
class Stretch:
    """The steps that a trajectory takes next, and where on them to remember its parameters.

    Attributes
    ----------
    step_sizes : (k,) one for each step; a dynamics that controls its own overwrites them.
    marks : increasing numbers of steps, from 0 to k.
    snapshots : (len(marks), p) receives θ as it is after so many steps.
    fractions : (k,) the fraction t of training done before each step, for a dynamics with a
        schedule of its own beside the step size's.
    """

    step_sizes: np.ndarray
    marks: np.ndarray
    snapshots: np.ndarray
    fractions: np.ndarray

    def __len__(self) -> int:
        return len(self.step_sizes)

    @property
    def steps(self) -> Steps:
        """What the kernels take of it."""
        return Steps(self.step_sizes, self.marks, self.snapshots)

    def split(self, at: int) -> tuple["Stretch", "Stretch"]:
        """Return the first `at` steps and the rest; both write to this stretch's arrays."""
        marked = int(np.searchsorted(self.marks, at, side="right"))
        return (
            Stretch(
                self.step_sizes[:at],
                self.marks[:marked],
                self.snapshots[:marked],
                self.fractions[:at],
            ),
            Stretch(
                self.step_sizes[at:],
                self.marks[marked:] - at,
                self.snapshots[marked:],
                self.fractions[at:],
            ),
        )


Advance = Callable[[np.ndarray, Stretch], int]
"""(theta, stretch) → steps completed, theta changed in place."""


@dataclass
class Trajectory:
    """What one trajectory moves on: its network, its examples and its own random streams.

    Attributes
    ----------
    x, y : (n, d) and (n,) training points.
    order : (steps, batch) → the next example indices, as int64 of that shape.
    noise : makes the stream of the noise, which few dynamics have.
    bound : a residual beyond it, or NaN, ends the trajectory as diverged.
    functions : (network's, loss's) compiled functions, which every kernel takes first.
    given : what every kernel takes next; its workspace is this trajectory's own.
    """

    network: Network
    loss: Loss
    x: np.ndarray
    y: np.ndarray
    order: Callable[[int, int], np.ndarray]
    noise: Callable[[], np.random.Generator]
    bound: float
    functions: tuple[Callable[..., float], Callable[..., tuple[float, float, float]]] = field(
        init=False
    )
    given: Given = field(init=False)
    _memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        loss, parameters = self.loss.value_slope_curvature, self.network.parameters
        squared = loss is Squared.value_slope_curvature
        self.functions = (self.network.prediction_and_gradient, loss)
        self.given = Given(*self.network.scratch(), self.x, self.y, squared, self.bound)
        self._memory = Memory(*aligned(np.zeros((2, parameters))))

    @property
    def n(self) -> int:
        """Number of training points."""
        return len(self.x)

    @cached_property
    def rng(self) -> np.random.Generator:
        """The stream of the noise."""
        return self.noise()

    def every(self, steps: int) -> np.ndarray:
        """Return the (steps, n) indices of steps that visit all examples."""
        return np.tile(np.arange(self.n), (steps, 1))

    def descend(
        self,
        theta: np.ndarray,
        stretch: Stretch,
        order: np.ndarray | None,
        *,
        noise: Noise | None = None,
        cap: float | None = None,
        momentum: float = 0.0,
    ) -> int:
        """Move theta by the mean loss gradient over the examples of each row of `order`.

        None stands for rows of all examples. The network's shortcuts are taken where they fit. The
        velocity that `momentum` needs stays with the trajectory from one call to the next.

        Raises
        ------
        TypeError, ValueError
            If the arrays do not belong together, or an index is none of an example: a dynamics of
            one's own may be wrong, and compiled code sees no ends of arrays.
        """
        noise = _SILENCE if noise is None else noise
        network, loss = self.functions
        together = order is None and cap is None and self.network.predictions is not None
        if order is None and not together:
            order = self.every(len(stretch))
        self._check(theta, stretch, order, noise)
        batch = self.n if order is None else order.shape[1]
        rule = Rule(self.loss.scale / batch, np.inf if cap is None else float(cap), float(momentum))
        given, steps, memory = self.given, stretch.steps, self._memory
        if together:
            every = self.network.predictions, self.network.combination
            return int(
                descend_together(
                    *every, loss, given, theta, steps, noise, rule, memory, np.empty(self.n)
                )
            )
        stride = self.network.stride
        if stride is not None and batch == 1 and momentum == 0.0:
            return int(descend_alone(stride, loss, given, theta, steps, order, noise, rule))
        return int(descend(network, loss, given, theta, steps, order, noise, rule, memory))

    def _check(
        self, theta: np.ndarray, stretch: Stretch, order: np.ndarray | None, noise: Noise
    ) -> None:
        steps, parameters = len(stretch), self.network.parameters
        visited = (steps, self.n)
        if order is not None:
            self._check_order(order, steps)
            visited = order.shape
        marked = len(stretch.marks)
        expected = [
            ("theta", theta, (parameters,)),
            ("step_sizes", stretch.step_sizes, (steps,)),
            ("snapshots", stretch.snapshots, (marked, parameters)),
        ]
        if noise is not _SILENCE:
            expected.append(("the noise's draws", noise.draws, visited))
            expected.append(("the noise's scale", noise.scale, (steps,)))
        for name, array, shape in expected:
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")

    def _check_order(self, order: np.ndarray, steps: int) -> None:
        if not isinstance(order, np.ndarray) or order.dtype != np.int64:
            raise TypeError(f"order must be an array of int64, got {_checks.shown(order)}")
        if order.ndim != 2 or len(order) != steps or order.shape[1] == 0:
            raise ValueError(f"order must have shape ({steps}, batch), got {order.shape}")
        # Negative indices are huge as unsigned ones.
        if order.size and order.view(np.uint64).max() >= self.n:
            wrong = order[(order < 0) | (order >= self.n)][0]
            raise ValueError(f"order must hold indices from 0 to {self.n - 1}, got {wrong}")


_SILENCE = Noise(np.empty(0), np.empty((0, 0)))


class Dynamics(ABC):
    """A way to choose the coefficients of the per-example gradients.

    Attributes
    ----------
    controls_step_size : whether it sets its own step sizes: it is simulated without schedules.
    """

    controls_step_size: ClassVar[bool] = False

    @property
    def takes_order(self) -> bool:
        """Whether the examples it visits are drawn, so that an order can replay them."""
        return False

    @abstractmethod
    def batch(self, n: int) -> int:
        """Return how many of n examples a step visits."""

    @abstractmethod
    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""


class Descent(Dynamics):
    """The mean loss gradient of a batch, with a cap and momentum: what SGD and GD share.

    A dynamics that changes the gradient, such as label noise or SAM, is built on one of these.

    Attributes
    ----------
    cap : each example's step size is min(η, cap / (ℓ'' · ‖∇h(x_i)‖²)), ℓ'' the curvature
        of the loss in h; None is η.
    momentum : μ of v ← μv + g, θ ← θ − ηv; 0 is none. A capped gradient enters v as it is then.
    """

    cap: float | None
    momentum: float

    def __post_init__(self) -> None:
        if self.cap is not None:
            _checks.number_of(self, "cap", above=0.0)
        if _checks.number_of(self, "momentum", at_least=0.0) >= 1.0:
            raise ValueError(f"momentum must be below 1, got {self.momentum:g}")

    @abstractmethod
    def examples(self, trajectory: Trajectory, steps: int) -> np.ndarray | None:
        """Return the (steps, batch) indices of the examples that the next steps visit.

        None stands for all of them in every step.
        """

    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""

        def advance(theta: np.ndarray, stretch: Stretch) -> int:
            order = self.examples(trajectory, len(stretch))
            return trajectory.descend(theta, stretch, order, cap=self.cap, momentum=self.momentum)

        return advance
