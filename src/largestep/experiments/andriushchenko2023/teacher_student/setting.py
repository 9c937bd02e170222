"""Fifteen points on the circle, three teacher neurons and twenty students."""

import numpy as np

from largestep.experiments.setting import Setting
from largestep.measures import feature_sparsity
from largestep.networks import Gaussian, ReLU
from largestep.problems import Problem, from_teacher
from largestep.schedules import constant, decay

__all__ = [
    "LARGE",
    "LENGTHS",
    "SMALL",
    "STUDENT",
    "TEACHER_ANGLES",
    "TEACHER_OUTPUTS",
    "problem",
    "setting",
]

# The paper's teacher: three unit neurons, by their angles, that PyTorch drew from its seed 1.
TEACHER_ANGLES = np.array([-3.0773569313586084, 2.772117041866298, -0.10039922461922876])
TEACHER_OUTPUTS = np.array([-1.0, -1.0, 1.0])

STUDENT = ReLU(widths=(2, 20), biases=False, weights_from=(Gaussian(0.5), Gaussian(0.0)))
SMALL = "0.13"
LARGE = ("0.455, /2 at 10%", "0.455, /4 at 30%", "0.455, /5 at 50%")
LENGTHS = ("10%", "30%", "50%")


def setting() -> Setting:
    """Return the setting of section 4.1's second figure, with a cap of 3."""
    return Setting(
        STUDENT,
        problem(),
        {
            SMALL: constant(0.13),
            LARGE[0]: decay(0.455, factor=2, at=0.1),
            LARGE[1]: decay(0.455, factor=4, at=0.3),
            LARGE[2]: decay(0.455, factor=5, at=0.5),
        },
        longest=LARGE[2],
        steps=14_126,
        cap=3.0,
        sparsity=feature_sparsity(0.99),
        make_problem=problem,
    )


def problem(n: int = 15, seed: int = 1) -> Problem:
    """Return the paper's fifteen points on the circle, with their teacher's targets."""
    teacher = ReLU(widths=(2, 3), biases=False)
    directions = np.column_stack([np.cos(TEACHER_ANGLES), np.sin(TEACHER_ANGLES)])
    theta = np.concatenate([directions.ravel(), TEACHER_OUTPUTS])
    return from_teacher(teacher, theta, n=n, seed=seed, on_sphere=True)
