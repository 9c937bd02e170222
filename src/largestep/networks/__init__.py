"""Small networks: parameters, initialisation, prediction and gradient."""

from largestep.networks.base import Network, compiled
from largestep.networks.diagonal import DiagonalLinear

__all__ = ["DiagonalLinear", "Network", "compiled"]
