"""Measures of features, Jacobians and loss curves: arrays in, numbers out."""

from largestep.metrics.agreement import cliffs_delta, energy_test, holm
from largestep.metrics.features import FeatureSparsity, feature_sparsity
from largestep.metrics.jacobian import (
    effective_rank,
    jacobian_rank,
    nonzero_coordinates,
    singular_values,
)
from largestep.metrics.stabilization import Plateau, plateau

__all__ = [
    "FeatureSparsity",
    "Plateau",
    "cliffs_delta",
    "effective_rank",
    "energy_test",
    "feature_sparsity",
    "holm",
    "jacobian_rank",
    "nonzero_coordinates",
    "plateau",
    "singular_values",
]
