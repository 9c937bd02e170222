"""Kinks of the function that a network on a line computes, and how much they bend it."""

import numpy as np

from largestep.measures.base import Measure
from largestep.metrics import piecewise
from largestep.networks.base import Network
from largestep.networks.relu import ReLU
from largestep.problems import Problem

__all__ = ["kinks", "weighted_variation"]


def kinks(*, every: int = 1) -> Measure:
    """Kinks inside the range of the training inputs; for `ReLU` networks of shape (1, m).

    Merged within 2 % of the range, and only those above 1 % of the largest: see `metrics.kinks`.
    """
    return Measure("kinks", _kinks, "kinks of the predictor", every=every)


def weighted_variation(*, every: int = 1) -> Measure:
    """∫ |f''| g, the variation of the slope by the data's weight; for `ReLU` of shape (1, m).

    What a step size bounds at minima that gradient descent stays at: see
    `metrics.weighted_variation`.
    """
    return Measure(
        "weighted_variation", _weighted_variation, "weighted variation of the slope", every=every
    )


def _kinks(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    interval = float(problem.x_train.min()), float(problem.x_train.max())
    bends = zip(*_bends("kinks", network, thetas), strict=True)
    return np.array([piecewise.kinks(*one, interval) for one in bends])


def _weighted_variation(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    bends = zip(*_bends("weighted_variation", network, thetas), strict=True)
    return np.array([piecewise.weighted_variation(*one, problem.x_train[:, 0]) for one in bends])


def _bends(name: str, network: Network, thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each unit bends, and by how much the slope jumps there."""
    if not isinstance(network, ReLU) or len(network.widths) != 2 or network.inputs != 1:
        raise TypeError(f"{name} is for ReLU networks of shape (1, m), got {network!r}")
    (weights, biases), (outer, _) = network.unpack(thetas)
    weights, outer = weights[..., 0], outer[..., 0, :]
    shifts = np.zeros_like(weights) if biases is None else biases
    with np.errstate(divide="ignore", invalid="ignore"):
        positions = -shifts / weights
    # a·max(0, wx + b) changes its slope by |w|·a where it bends, from left to right.
    return positions, np.abs(weights) * outer
