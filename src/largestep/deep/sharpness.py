"""How sharp the loss is: its Hessian, and what can be measured of it without storing it."""

from largestep.deep.curvature.hessian import GaussNewton, Hessian
from largestep.metrics.edge import Stability, stability
from largestep.metrics.spectrum import (
    Eigenvalues,
    Estimate,
    SpectralDensity,
    SpectralMoments,
    gradient_share,
    largest_eigenvalues,
    spectral_density,
    spectral_moments,
)

__all__ = [
    "Eigenvalues",
    "Estimate",
    "GaussNewton",
    "Hessian",
    "SpectralDensity",
    "SpectralMoments",
    "Stability",
    "gradient_share",
    "largest_eigenvalues",
    "spectral_density",
    "spectral_moments",
    "stability",
]
