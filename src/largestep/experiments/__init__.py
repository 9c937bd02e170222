"""The paper's figures and others: settings, what they compute, claim and show.

Importing it loads neither Numba nor Matplotlib nor PyTorch: an experiment's entry is light, and its
parts are imported when they are used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
