import numpy as np
import pytest

from largestep.experiments.andriushchenko2023.one_dimension.compute import CONSTANT
from largestep.experiments.andriushchenko2023.one_dimension.show import predicted


def test_the_recursion_of_one_dimension_is_that_of_sgd():
    rng = np.random.default_rng(0)
    theta, x, step_size, truth = rng.uniform(0.5, 1.5, size=4)
    new = theta - step_size * (x * theta**2 - x * truth**2) * 2 * x * theta
    w, a = theta**2 / truth**2, 2 * step_size * x**2 * truth**2
    assert new**2 / truth**2 == pytest.approx(w * (1 - a * (w - 1)) ** 2)


def test_the_theory_of_one_dimension():
    sharpness = np.array([0.5, 0.95, 1.05, 2.0, 2.05])
    assert predicted(CONSTANT, sharpness).tolist() == [
        "converges",
        "converges",
        "stabilises",
        "stabilises",
        "diverges",
    ]
