"""How the coefficients of the per-example gradients are chosen, step after step."""

from largestep.dynamics.base import Descent, Dynamics
from largestep.dynamics.gd import GD
from largestep.dynamics.hold_loss import HoldLoss
from largestep.dynamics.jacobian_penalty import JacobianPenalizedGD
from largestep.dynamics.label_noise import LabelNoise
from largestep.dynamics.sam import SAM
from largestep.dynamics.sde import ConstantNoiseSDE, plateau_noise
from largestep.dynamics.sgd import SGD
from largestep.dynamics.simulation import simulate

__all__ = [
    "GD",
    "SAM",
    "SGD",
    "ConstantNoiseSDE",
    "Descent",
    "Dynamics",
    "HoldLoss",
    "JacobianPenalizedGD",
    "LabelNoise",
    "plateau_noise",
    "simulate",
]
