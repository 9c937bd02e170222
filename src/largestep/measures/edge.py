"""How sharp the loss of a batch is along its own gradient."""

from functools import partial

import numpy as np

from largestep import _checks
from largestep.measures.base import Measure
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["batch_sharpness"]

_REACH = 1e-5


def batch_sharpness(batch_size: int = 1, *, batches: int = 200, every: int = 1) -> Measure:
    """Mean over batches of gᵀ H_B g/‖g‖², g the batch's gradient and H_B its loss's Hessian.

    What settles at 2/η along SGD, while the largest eigenvalue of the whole loss stays below
    (Andreyev and Beneventano, 2024). H_B g is a central difference of gradients. Batches whose
    gradient is zero are left out; NaN if all are.

    Parameters
    ----------
    batch_size : B. 1 takes every example once; n or more the whole data once.
    batches : how many to draw for other B, the same ones at every step.
    every : as in `Measure`.
    """
    batch_size = _checks.integer("batch_size", batch_size, at_least=1)
    batches = _checks.integer("batches", batches, at_least=1)
    function = partial(_sharpness, batch_size, batches)
    return Measure("batch_sharpness", function, "batch sharpness", every=every)


def _sharpness(
    batch_size: int, batches: int, network: Network, problem: Problem, thetas: np.ndarray
) -> np.ndarray:
    n = problem.n
    if batch_size == 1:
        drawn = np.arange(n)[:, np.newaxis]
    elif batch_size >= n:
        drawn = np.arange(n)[np.newaxis]
    else:
        drawn = np.random.default_rng(0).integers(0, n, size=(batches, batch_size))
    return np.array([_mean(network, problem, theta, drawn) for theta in thetas])


def _mean(network: Network, problem: Problem, theta: np.ndarray, drawn: np.ndarray) -> float:
    found = []
    for batch, own in zip(drawn, _gradients(network, problem, theta, drawn), strict=True):
        norm = np.linalg.norm(own)
        if norm > 0.0:
            reach = _REACH * (1.0 + np.linalg.norm(theta))
            along = own / norm
            ahead, behind = (
                _gradients(network, problem, theta + side * reach * along, batch[np.newaxis])[0]
                for side in (1, -1)
            )
            found.append(along @ (ahead - behind) / (2.0 * reach))
    return float(np.mean(found)) if found else float("nan")


def _gradients(
    network: Network, problem: Problem, theta: np.ndarray, drawn: np.ndarray
) -> np.ndarray:
    """Return the gradient of each batch's mean loss."""
    examples, where = np.unique(drawn, return_inverse=True)
    x, y = problem.x_train[examples], problem.y_train[examples]
    slopes = problem.loss.slope(network.predict(theta, x), y)
    own = slopes[:, np.newaxis] * network.jacobian(theta, x)
    gradients: np.ndarray = own[where.reshape(drawn.shape)].mean(axis=1)
    return gradients
