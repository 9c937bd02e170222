"""Losses and errors at the training and the test points."""

import numpy as np

from largestep.losses import check_labels
from largestep.measures.base import Measure
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["test_error", "test_loss", "train_error", "train_loss"]

_CACHED = 1 << 16
"""Predictions that are made together: the allocator would give back what more of them need, and get
it again for half of the time."""


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
    together, count = max(1, _CACHED // len(x)), thetas[..., 0].size
    if count > together and len(thetas) == 1:
        return _mean_loss(network, problem, thetas[0], x, y)[np.newaxis]
    if count > together:
        step = max(1, together * len(thetas) // count)
        parts = (thetas[i : i + step] for i in range(0, len(thetas), step))
        # Of a `predict` that takes no stacks there are too few losses then, which is refused.
        return np.concatenate([np.atleast_1d(_mean_loss(network, problem, p, x, y)) for p in parts])
    mean: np.ndarray = np.mean(problem.loss.value(network.predict(thetas, x), y), axis=-1)
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
