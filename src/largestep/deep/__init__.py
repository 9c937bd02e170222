"""Large steps in deep networks: probes, models, training, step sizes, compaction (PyTorch).

Needs the extra: ``pip install 'largestep[torch]'``.
"""

from typing import TYPE_CHECKING

import lazy_loader

try:
    import torch as torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "largestep.deep needs PyTorch: pip install 'largestep[torch]'", name="torch"
    ) from None

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "compaction",
        "data",
        "jacobian",
        "layers",
        "loading",
        "loggers",
        "models",
        "presets",
        "sharpness",
    ],
    submod_attrs={
        "compaction": ["compact"],
        "movement": ["Movement"],
        "probe": ["Probe"],
        "step_size": ["LossStabilization"],
        "training": ["Training", "train"],
    },
)

if TYPE_CHECKING:
    from largestep.deep import compaction as compaction
    from largestep.deep import data as data
    from largestep.deep import jacobian as jacobian
    from largestep.deep import layers as layers
    from largestep.deep import loading as loading
    from largestep.deep import loggers as loggers
    from largestep.deep import models as models
    from largestep.deep import presets as presets
    from largestep.deep import sharpness as sharpness
    from largestep.deep.compaction import compact as compact
    from largestep.deep.movement import Movement as Movement
    from largestep.deep.probe import Probe as Probe
    from largestep.deep.step_size import LossStabilization as LossStabilization
    from largestep.deep.training import Training as Training
    from largestep.deep.training import train as train
