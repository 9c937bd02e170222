"""Fifty points in five dimensions, a teacher and a student of two hidden layers."""

from functools import partial

import numpy as np

from largestep.experiments.setting import Setting
from largestep.measures import feature_sparsity
from largestep.networks import Gaussian, ReLU
from largestep.problems import from_teacher
from largestep.schedules import constant, decay, power

__all__ = ["LARGE", "LENGTHS", "SMALL", "setting"]

SMALL = "0.011"
LARGE = ("0.04 ↗ 0.10, /3.5 at 10%", "0.04 ↗ 0.15, /2.5 at 30%", "0.04 ↗ 0.18, /5 at 50%")
LENGTHS = ("10%", "30%", "50%")
DATA_SEED = 0


def setting() -> Setting:
    """Return the paper's setting, on largestep's own data and teacher, with a cap of 3."""
    teacher = ReLU(widths=(5, 2, 2), weights_from=Gaussian(1.0))
    theta = teacher.initialize(np.random.default_rng(DATA_SEED))
    problem = partial(from_teacher, teacher, theta, n=50, seed=DATA_SEED)
    # η_t = 0.04·(1 + 5√t), t the fraction of the whole run.
    warm_up = power(0.04, 0.24, exponent=0.5)
    return Setting(
        ReLU(widths=(5, 10, 10), weights_from=Gaussian(0.8)),
        problem(),
        {
            SMALL: constant(0.011),
            LARGE[0]: decay(warm_up, factor=3.5, at=0.1),
            LARGE[1]: decay(warm_up, factor=2.5, at=0.3),
            LARGE[2]: decay(warm_up, factor=5, at=0.5),
        },
        longest=LARGE[2],
        steps=10_001,
        cap=3.0,
        sparsity=feature_sparsity(0.99),
        make_problem=problem,
    )
