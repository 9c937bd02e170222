"""Small networks: parameters, initialisation, prediction and gradient."""

from largestep.networks.base import Network, compiled
from largestep.networks.diagonal import DiagonalLinear
from largestep.networks.initialization import FanInUniform, Gaussian, Initialization, Signs
from largestep.networks.relu import ReLU
from largestep.networks.scalar import ScalarQuadratic

__all__ = [
    "DiagonalLinear",
    "FanInUniform",
    "Gaussian",
    "Initialization",
    "Network",
    "ReLU",
    "ScalarQuadratic",
    "Signs",
    "compiled",
]
