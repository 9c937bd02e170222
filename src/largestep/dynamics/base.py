"""What every dynamics shares: a trajectory's material, and the way to set it in motion."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from largestep.dynamics.kernel import descend
from largestep.networks import Network

__all__ = ["Advance", "Dynamics", "Stretch", "Trajectory"]


@dataclass(frozen=True)
class Stretch:
    """The steps that a trajectory takes next, and where on them to remember its parameters.

    Attributes
    ----------
    step_sizes : (k,) one for each step; a dynamics that controls its own overwrites them.
    marks : increasing numbers of steps, from 0 to k.
    snapshots : (len(marks), p) receives θ as it is after so many steps.
    """

    step_sizes: np.ndarray
    marks: np.ndarray
    snapshots: np.ndarray

    def __len__(self) -> int:
        return len(self.step_sizes)


Advance = Callable[[np.ndarray, Stretch], int]
"""(theta, stretch) → steps completed, theta changed in place."""


@dataclass
class Trajectory:
    """What one trajectory moves on: its network, its examples and its own random streams.

    Attributes
    ----------
    x, y : (n, d) and (n,) training points.
    order : (steps, batch) → the next example indices, as int64 of that shape.
    rng : stream of the noise, if the dynamics has any.
    bound : a residual beyond it, or NaN, ends the trajectory as diverged.
    """

    network: Network
    x: np.ndarray
    y: np.ndarray
    order: Callable[[int, int], np.ndarray]
    rng: np.random.Generator
    bound: float
    _buffers: tuple[np.ndarray, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._buffers = (np.empty(self.network.parameters), np.zeros(self.network.parameters))
        self._scratch = self.network.scratch()

    @property
    def n(self) -> int:
        """Number of training points."""
        return len(self.x)

    def descend(
        self,
        theta: np.ndarray,
        stretch: Stretch,
        order: np.ndarray,
        *,
        noise_scale: np.ndarray | None = None,
        noise: np.ndarray | None = None,
        cap: float | None = None,
        momentum: float = 0.0,
    ) -> int:
        """Move theta by the mean loss gradient over the examples of each row of `order`."""
        return int(
            descend(
                self.network.prediction_and_gradient,
                *self._scratch,
                self.x,
                self.y,
                theta,
                stretch.step_sizes,
                order,
                np.empty(0) if noise_scale is None else noise_scale,
                np.empty((0, 0)) if noise is None else noise,
                2.0 * self.network.loss_factor / order.shape[1],
                np.inf if cap is None else cap,
                momentum,
                self.bound,
                *self._buffers,
                stretch.marks,
                stretch.snapshots,
            )
        )


class Dynamics(ABC):
    """A way to choose the coefficients of the per-example gradients."""

    @abstractmethod
    def batch(self, n: int) -> int:
        """Return how many of n examples a step visits."""

    @abstractmethod
    def start(self, trajectory: Trajectory) -> Advance:
        """Return the function that takes the trajectory's next steps."""
