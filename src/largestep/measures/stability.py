"""The curvature of the training loss, and the step size at which SGD cannot stay."""

from functools import partial

import numpy as np

from largestep import _checks
from largestep.measures.base import Measure
from largestep.metrics import edge, rank
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["critical_step_size", "curvature"]

_QUANTITIES = np.array(["largest", "trace", "frobenius"])


def curvature(*, every: int = 1) -> Measure:
    """λ_max, trace and Frobenius norm of H = (1/n) Σ ℓ''_i ∇h_i ∇h_iᵀ, along `quantity`.

    The Gauss–Newton matrix: the Hessian of the training loss where all examples are fitted.
    """
    coords = {"quantity": _QUANTITIES}
    return Measure("curvature", _curvature, "curvature", ("quantity",), every, coords)


def critical_step_size(batch_size: int = 1, *, every: int = 1) -> Measure:
    """Step size at which SGD of that batch size loses mean-square stability at θ.

    As if θ were a minimum that fits all examples: see `metrics.critical_step_size`.
    """
    function = partial(_critical, _checks.integer("batch_size", batch_size, at_least=1))
    return Measure("critical_step_size", function, "critical step size", every=every)


def _curvature(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    result = np.empty((len(thetas), len(_QUANTITIES)))
    for row, theta in zip(result, thetas, strict=True):
        values = rank.singular_values(_rows(network, problem, theta)) ** 2 / problem.n
        row[:] = values[0], values.sum(), np.sqrt(np.sum(values**2))
    return result


def _critical(
    batch_size: int, network: Network, problem: Problem, thetas: np.ndarray
) -> np.ndarray:
    rows = (_rows(network, problem, theta) for theta in thetas)
    return np.array([edge.critical_step_size(one, batch_size) for one in rows])


def _rows(network: Network, problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Return √ℓ''_i · ∇h(x_i)."""
    x, y = problem.x_train, problem.y_train
    bend = problem.loss.curvature(network.predict(theta, x), y)
    rows: np.ndarray = np.sqrt(np.maximum(bend, 0.0))[:, np.newaxis] * network.jacobian(theta, x)
    return rows
