from . import presets as presets
from .loop import Stopped as Stopped
from .loop import train as train
from .run import Run as Run
from .run import Trained as Trained
from .settings import Training as Training
