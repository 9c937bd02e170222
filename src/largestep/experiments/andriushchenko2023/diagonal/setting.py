"""Sparse regression by a diagonal linear network, with the paper's schedules."""

from functools import partial

from largestep.experiments.setting import Setting
from largestep.measures import nonzero_coordinates
from largestep.networks import DiagonalLinear
from largestep.problems import sparse_regression
from largestep.schedules import constant, decay

__all__ = ["LARGE", "LENGTHS", "SMALL", "setting"]

SMALL = "0.25"
LARGE = ("0.282, /4.8 at 10%", "0.282, /3.4 at 30%", "0.282, /1.5 at 50%")
LENGTHS = ("10%", "30%", "50%")


def setting(seed: int = 0, *, dense: bool = False) -> Setting:
    """Return the setting of section 3.1: n = 80, d = 200, twenty coordinates.

    Parameters
    ----------
    seed : of the data; the paper's is 0.
    dense : spread the truth over all coordinates.
    """
    problem = partial(sparse_regression, n=80, d=200, nonzeros=20, seed=seed, dense=dense)
    return Setting(
        DiagonalLinear(d=200, u0=0.1, v0=0.0),
        problem(),
        {
            SMALL: constant(0.25),
            LARGE[0]: decay(0.282, factor=4.8, at=0.1),
            LARGE[1]: decay(0.282, factor=3.4, at=0.3),
            LARGE[2]: decay(0.282, factor=1.5, at=0.5),
        },
        longest=LARGE[2],
        steps=100_001,
        cap=4.0,
        sparsity=nonzero_coordinates(),
        make_problem=problem,
    )
