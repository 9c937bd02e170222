"""Large step sizes, loss stabilisation and sparse features.

>>> import largestep as ls
>>> problem = ls.problems.sparse_regression(n=20, d=30, nonzeros=3, seed=0)
>>> network = ls.networks.DiagonalLinear(d=30, u0=0.1, v0=0.0)
>>> runs = ls.simulate(network, problem, schedules=0.1, steps=100, seeds=range(2))
>>> dict(runs.sizes)["seed"]
2
"""

from typing import TYPE_CHECKING

import lazy_loader

__version__ = "0.1.0"

# Submodules load on first use: `largestep --help` must not wait for Numba and xarray.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "compaction",
        "deep",
        "dynamics",
        "experiments",
        "measures",
        "metrics",
        "networks",
        "problems",
        "schedules",
    ],
    submod_attrs={"dynamics.simulation": ["simulate"], "sweeps": ["sweep"]},
)

if TYPE_CHECKING:
    from largestep import compaction as compaction
    from largestep import deep as deep
    from largestep import dynamics as dynamics
    from largestep import experiments as experiments
    from largestep import measures as measures
    from largestep import metrics as metrics
    from largestep import networks as networks
    from largestep import problems as problems
    from largestep import schedules as schedules
    from largestep.dynamics.simulation import simulate as simulate
    from largestep.sweeps import sweep as sweep
