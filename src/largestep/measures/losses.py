"""Losses and errors at the training and the test points."""

import numpy as np

from largestep.losses import check_labels
from largestep.measures.base import Measure
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["test_error", "test_loss", "train_error", "train_loss"]

_CACHED = 1 << 16
"""Predictions that are made together: what they need, of more, would be given back by the allocator
each time, and half of the time go into getting it again."""


def train_loss() -> Measure:
    """Mean of the problem's loss over the training points."""
    return Measure("train_loss", _train_loss, "training loss", stacks=True)


def test_loss() -> Measure:
    """Mean of the problem's loss over the test points."""
    return Measure("test_loss", _test_loss, "test loss", stacks=True)


def train_error() -> Measure:
    """Share of the training points where the prediction's sign is not the label.

    For labels ±1 (ValueError otherwise), whatever the loss. A prediction of 0 is an error.
    """
    return Measure("train_error", _train_error, "training error", stacks=True)


def test_error() -> Measure:
    """Share of the test points where the prediction's sign is not the label, as `train_error`."""
    return Measure("test_error", _test_error, "test error", stacks=True)


def _train_loss(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    return _mean_loss(network, problem, thetas, problem.x_train, problem.y_train)


def _test_loss(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    return _mean_loss(network, problem, thetas, problem.test_inputs, problem.test_targets)


def _mean_loss(
    network: Network, problem: Problem, thetas: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    mean = np.empty(thetas.shape[:-1])
    together = max(1, _CACHED // len(x))
    for place in np.ndindex(thetas.shape[:-2]):
        for first in range(0, thetas.shape[-2], together):
            rows = slice(first, first + together)
            losses = problem.loss.value(network.predict(thetas[*place, rows], x), y)
            mean[*place, rows] = np.mean(losses, axis=-1)
    return mean


def _train_error(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    return _error(network, thetas, problem.x_train, "y_train", problem.y_train)


def _test_error(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    return _error(network, thetas, problem.test_inputs, "y_test", problem.test_targets)


def _error(
    network: Network, thetas: np.ndarray, x: np.ndarray, name: str, labels: np.ndarray
) -> np.ndarray:
    check_labels(name, labels)
    share: np.ndarray = np.mean(np.sign(network.predict(thetas, x)) != labels, axis=-1)
    return share
