from .base import Controller as Controller
from .base import MakeController as MakeController
from .loss_stabilization import LossStabilization as LossStabilization
