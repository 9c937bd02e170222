"""The trajectory itself: its parameters, and what it predicts."""

import numpy as np

from largestep.measures.base import Measure
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["parameters", "predictions"]


def parameters(*, every: int = 1) -> Measure:
    """Record the parameters θ themselves."""
    return Measure("parameters", _parameters, "parameters", ("parameter",), every, stacks=True)


def predictions(*, every: int = 1) -> Measure:
    """Record the predictions h_θ at the test inputs."""
    return Measure("predictions", _predictions, "prediction", ("test_point",), every, stacks=True)


def _parameters(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    return thetas


def _predictions(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    return network.predict(thetas, problem.test_inputs)
