"""How the weights and biases of a layer are drawn at the start of training."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from largestep import _checks

__all__ = ["FanInUniform", "Gaussian", "Initialization", "Signs"]


class Initialization(Protocol):
    """Draws an array of a layer's weights or biases."""

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        """Return an array of the shape, for a layer with `fan_in` inputs."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """scale · N(0, 1); a scale of 0 starts at zero."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _checks.number_of(self, "scale", at_least=0.0)

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        """Draw an array of the shape."""
        return self.scale * rng.standard_normal(shape)


@dataclass(frozen=True)
class Signs:
    """±scale, each sign with probability one half."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        _checks.number_of(self, "scale", at_least=0.0)

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        """Draw an array of the shape."""
        return self.scale * rng.choice([-1.0, 1.0], size=shape)


@dataclass(frozen=True)
class FanInUniform:
    """Uniform on ±1/√fan_in, as PyTorch starts the weights and biases of its linear layers."""

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        """Draw an array of the shape."""
        bound = 1.0 / np.sqrt(fan_in)
        return rng.uniform(-bound, bound, size=shape)
