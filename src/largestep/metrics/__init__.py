"""Measures of features, Jacobians and loss curves: arrays in, numbers out."""

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
    "effective_rank",
    "feature_sparsity",
    "jacobian_rank",
    "nonzero_coordinates",
    "plateau",
    "singular_values",
]
