"""How far the tangent kernel has moved since the start."""

import numpy as np

from largestep.measures.base import Measure
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["kernel_distance"]


def kernel_distance(*, every: int = 1) -> Measure:
    """1 − ⟨K, K_0⟩/(‖K‖ ‖K_0‖) of the tangent kernels K = φ(X) φ(X)ᵀ at the training inputs.

    K_0 is that of the first recorded step, by default the start. In [0, 1]; 0 also if the kernel
    was only rescaled, NaN if it vanishes. Near 0 all along, the training was lazy.
    """
    return Measure("kernel_distance", _distance, "kernel distance to the start", every=every)


def _distance(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    start = _kernel(network, problem, thetas[0])
    cosines = [np.sum(start * _kernel(network, problem, theta)) for theta in thetas]
    # Rounding must not make a kernel further from itself than from another.
    return np.clip(1.0 - np.array(cosines), 0.0, None)


def _kernel(network: Network, problem: Problem, theta: np.ndarray) -> np.ndarray:
    jacobian = network.jacobian(theta, problem.x_train)
    kernel = jacobian @ jacobian.T
    with np.errstate(invalid="ignore"):
        kernel /= np.linalg.norm(kernel)
    return kernel
