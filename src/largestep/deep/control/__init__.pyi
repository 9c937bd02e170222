from .base import Controller as Controller
from .base import MakeController as MakeController
from .hold_edge import HoldEdge as HoldEdge
from .loss_stabilization import LossStabilization as LossStabilization
