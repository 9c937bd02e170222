"""The feature sparsity of hidden layers."""

from functools import partial

import numpy as np

from largestep import _checks
from largestep.measures.base import Measure
from largestep.metrics import sparsity
from largestep.networks.base import Network
from largestep.networks.relu import ReLU
from largestep.problems import Problem

__all__ = ["feature_sparsity"]


def feature_sparsity(
    correlation_threshold: float = 0.99, *, layer: int = -1, every: int = 1
) -> Measure:
    """Feature sparsity coefficient of a hidden layer at the training inputs; for ReLU networks.

    Features are normalised per input, as the paper does for small networks. Layers before the
    last have their number in the variable's name: `feature_sparsity_1`, …
    """
    threshold = _checks.number(
        "correlation_threshold", correlation_threshold, above=0.0, at_most=1.0
    )
    layer = _checks.integer("layer", layer, at_least=-1)
    name = "feature_sparsity" if layer == -1 else f"feature_sparsity_{layer + 1}"
    function = partial(_coefficients, threshold, layer)
    return Measure(name, function, "feature sparsity coefficient", every=every)


def _coefficients(
    correlation_threshold: float,
    layer: int,
    network: Network,
    problem: Problem,
    thetas: np.ndarray,
) -> np.ndarray:
    if not isinstance(network, ReLU):
        raise TypeError(f"feature_sparsity is for ReLU networks, got {network!r}")
    if layer >= network.layers - 1:
        raise ValueError(f"layer must be below {network.layers - 1} for {network!r}, got {layer}")
    stack = network.features(thetas, problem.x_train)[layer]
    return sparsity.distinct_shares(stack, correlation_threshold)
