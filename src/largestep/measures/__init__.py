"""What `simulate` can record: metrics applied to a network along its trajectory.

A measure is named by a string (with its default settings), made by a function of this package
(with settings of its own), or is a `Measure` of the user's. To add one, write a file with such a
function and name it in `__init__.pyi`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
