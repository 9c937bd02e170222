from .base import Controller as Controller
from .base import MakeController as MakeController
from .find_step import FoundStep as FoundStep
from .find_step import find_step as find_step
from .hold_edge import HoldEdge as HoldEdge
from .loss_stabilization import LossStabilization as LossStabilization
