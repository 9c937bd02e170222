"""The weighted variation of a slope, and the bound on the curvature that it is made for."""

import numpy as np
import pytest

from largestep.measures import weighted_variation as measured
from largestep.metrics import weighted_variation
from largestep.networks import ReLU
from largestep.problems import Problem


def by_hand(t, x):
    sides = []
    for chosen in (x[x > t], x[x < t]):
        if chosen.size == 0:
            return 0.0
        share = len(chosen) / len(x)
        mean = chosen.mean()
        sides.append(share**2 * abs(mean - t) * np.sqrt(1 + mean**2))
    return min(sides)


def test_it_is_the_weight_at_the_bends(rng):
    x, positions, jumps = rng.uniform(-2, 3, 15), rng.uniform(-3, 4, 8), rng.standard_normal(8)
    weights = [by_hand(t, x) for t in positions]
    assert weighted_variation(positions, jumps, x) == pytest.approx(np.abs(jumps) @ weights)
    assert 0 in weights


def test_bends_at_one_place_are_one_and_units_without_a_bend_none():
    x = np.array([-1.0, 1.0])
    one = weighted_variation(np.array([0.0]), np.array([1.0]), x)
    both = np.array([0.0, 0.0, np.inf, np.nan])
    assert weighted_variation(both, np.array([3.0, -2.0, 1.0, 1.0]), x) == pytest.approx(one)


@pytest.mark.parametrize("biased", [True, False])
def test_the_curvature_is_at_least_what_the_function_asks_for(rng, biased):
    """The theory page's inequality, for the whole Hessian, by finite differences."""
    network = ReLU((1, 3), (True, biased))
    for _ in range(20):
        theta = rng.standard_normal(network.parameters)
        problem = Problem(rng.uniform(-1, 1, (9, 1)), rng.standard_normal(9))
        residuals = network.predict(theta, problem.x_train) - problem.y_train
        misfit = np.mean(np.abs(residuals) * np.hypot(1, problem.x_train[:, 0]))
        bound = biased + 2 * measured().on(network, problem, theta[np.newaxis])[0] - misfit
        assert np.linalg.eigvalsh(hessian(network, problem, theta))[-1] >= bound - 1e-4


def test_where_all_is_in_one_unit_the_bound_is_nearly_reached():
    # Far from 0 and balanced, mean gradient and top eigenvector agree.
    network = ReLU((1, 1), (True, False))
    x = np.array([[10.0], [10.1], [-10.0], [-10.1]])
    theta = np.array([1.0, 0.0, 1.0])
    theta[2] = np.sqrt(np.mean(x[:2]) ** 2 / (1 + np.mean(x[:2]) ** 2))
    problem = Problem(x, network.predict(theta, x))
    curvature = np.linalg.eigvalsh(hessian(network, problem, theta))[-1]
    share = 2 * measured().on(network, problem, theta[np.newaxis])[0] / curvature
    # The mean is over all points, the eigenvector lives on half of them.
    assert 0.45 < share < 0.5


def hessian(network, problem, theta, reach=1e-5):
    def gradient(at):
        residuals = network.predict(at, problem.x_train) - problem.y_train
        return residuals @ network.jacobian(at, problem.x_train) / problem.n

    steps = reach * np.eye(len(theta))
    rows = np.array([gradient(theta + step) - gradient(theta - step) for step in steps])
    return (rows + rows.T) / (4 * reach)


def test_it_is_of_a_line():
    problem = Problem(np.ones((2, 3)), np.ones(2))
    with pytest.raises(TypeError, match=r"weighted_variation is for ReLU networks of shape"):
        measured().on(ReLU((3, 4)), problem, np.zeros((1, 21)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], [1.0, 2.0], [1.0]), "positions must have shape"),
        (([0.0], [np.nan], [1.0]), "jumps must be finite"),
        (([0.0], [1.0], []), "x must hold at least one input, got none"),
    ],
)
def test_what_has_no_variation_is_named(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        weighted_variation(*map(np.array, arguments))
