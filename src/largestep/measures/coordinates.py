"""How many coordinates a linear predictor still uses."""

from functools import partial

import numpy as np

from largestep import _checks
from largestep.measures.base import Measure
from largestep.metrics import rank
from largestep.networks.base import Network
from largestep.networks.diagonal import DiagonalLinear
from largestep.problems import Problem

__all__ = ["nonzero_coordinates"]


def nonzero_coordinates(relative_tolerance: float = 1e-6) -> Measure:
    """Coordinates of u ⊙ v above a share of the largest; for diagonal networks."""
    tolerance = _checks.number("relative_tolerance", relative_tolerance, at_least=0.0, at_most=1.0)
    return Measure(
        "nonzero_coordinates",
        partial(_count, tolerance),
        f"coordinates above {tolerance:g} of the largest",
        stacks=True,
    )


def _count(
    relative_tolerance: float, network: Network, problem: Problem, thetas: np.ndarray
) -> np.ndarray:
    if not isinstance(network, DiagonalLinear):
        raise TypeError(f"nonzero_coordinates is for DiagonalLinear networks, got {network!r}")
    return np.asarray(rank.nonzero_coordinates(network.coefficients(thetas), relative_tolerance))
