"""How the coefficients of the per-example gradients are chosen, step after step."""

from largestep.dynamics.base import Dynamics
from largestep.dynamics.gd import GD
from largestep.dynamics.sgd import SGD
from largestep.dynamics.simulation import simulate

__all__ = ["GD", "SGD", "Dynamics", "simulate"]
