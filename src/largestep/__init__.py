"""Large step sizes, loss stabilisation and sparse features.

>>> import largestep as ls
>>> problem = ls.problems.sparse_regression(n=20, d=30, nonzeros=3, seed=0)
>>> network = ls.networks.DiagonalLinear(d=30, u0=0.1, v0=0.0)
>>> runs = ls.simulate(network, problem, schedules=0.1, steps=100, seeds=range(2))
>>> dict(runs.sizes)["seed"]
2
"""

import lazy_loader

# Everything loads on first use: `largestep --help` must not wait for Numba and xarray.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
