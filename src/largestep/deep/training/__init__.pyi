from . import presets as presets
from .run import Run as Run
from .run import Stopped as Stopped
from .run import Trained as Trained
from .run import Training as Training
from .run import train as train
