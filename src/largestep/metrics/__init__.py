"""Measures of features, Jacobians and loss curves: arrays in, numbers out."""

from largestep.metrics.jacobian import (
    effective_rank,
    jacobian_rank,
    nonzero_coordinates,
    singular_values,
)
from largestep.metrics.stabilization import Plateau, plateau

__all__ = [
    "Plateau",
    "effective_rank",
    "jacobian_rank",
    "nonzero_coordinates",
    "plateau",
    "singular_values",
]
