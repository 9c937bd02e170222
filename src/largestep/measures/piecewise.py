"""Kinks of the function that a network on a line computes."""

import numpy as np

from largestep.measures.base import Measure
from largestep.metrics import piecewise
from largestep.networks.base import Network
from largestep.networks.relu import ReLU
from largestep.problems import Problem

__all__ = ["kinks"]


def kinks(*, every: int = 1) -> Measure:
    """Kinks inside the range of the training inputs; for `ReLU` networks of shape (1, m).

    Merged within 2 % of the range, and only those above 1 % of the largest: see `metrics.kinks`.
    """
    return Measure("kinks", _kinks, "kinks of the predictor", every=every)


def _kinks(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    if not isinstance(network, ReLU) or len(network.widths) != 2 or network.inputs != 1:
        raise TypeError(f"kinks is for ReLU networks of shape (1, m), got {network!r}")
    interval = float(problem.x_train.min()), float(problem.x_train.max())
    (weights, biases), (outer, _) = network.unpack(thetas)
    weights, outer = weights[..., 0], outer[..., 0, :]
    shifts = np.zeros_like(weights) if biases is None else biases
    with np.errstate(divide="ignore", invalid="ignore"):
        positions = -shifts / weights
    # a·max(0, wx + b) changes its slope by |w|·a where it bends, from left to right.
    jumps = np.abs(weights) * outer
    return np.array([piecewise.kinks(*one, interval) for one in zip(positions, jumps, strict=True)])
