"""Large steps in deep networks: probes, models, training, step sizes, compaction (PyTorch).

Needs the extra: ``pip install 'largestep[torch]'``.
"""

import lazy_loader

try:
    import torch as torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ModuleNotFoundError(
        "largestep.deep needs PyTorch: pip install 'largestep[torch]'", name="torch"
    ) from None

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
