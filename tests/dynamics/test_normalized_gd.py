import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, NormalizedGD
from largestep.losses import logistic, perceptron
from largestep.networks import Linear, ReLU
from largestep.problems import Problem


def test_it_follows_its_equation(rng):
    network = ReLU((3, 4))
    problem = Problem(
        rng.standard_normal((7, 3)), rng.choice([-1.0, 1.0], 7), loss=ls.losses.logistic
    )
    theta = start = rng.standard_normal(network.parameters)
    runs = ls.simulate(
        network, problem, NormalizedGD(), 0.3, steps=20, initial=start, measure=["parameters"]
    )
    for _ in range(20):
        slopes = logistic.slope(network.predict(theta, problem.x_train), problem.y_train)
        step = slopes @ network.jacobian(theta, problem.x_train) / np.abs(slopes).sum()
        theta = theta - 0.3 * step
    np.testing.assert_allclose(runs.parameters[0, 0, -1], theta, rtol=1e-9)


def worst_case():
    """One example against 999, which hardly disagree (Tyurin, 2024)."""
    x = np.array([[0.5, -1.0]] + [[-0.5, -1.0]] * 999)
    return Problem(x, np.r_[1.0, -np.ones(999)], loss=logistic)


@pytest.mark.parametrize(("step_size", "steps"), [(0.1, 157), (1.0, 16), (10.0, 2), (100.0, 2)])
def test_it_separates_the_worst_case_in_as_many_steps_as_published(step_size, steps):
    error = ls.simulate(
        Linear(2),
        worst_case(),
        NormalizedGD(),
        step_size,
        steps=200,
        record=range(201),
        measure=["test_error"],
    ).test_error.squeeze()
    assert int(np.flatnonzero(error == 0)[0]) == steps


def test_where_no_slope_is_left_it_stays():
    problem = Problem(np.eye(2), np.array([1.0, -1.0]), loss=perceptron)
    runs = ls.simulate(
        Linear(2),
        problem,
        NormalizedGD(),
        1.0,
        steps=5,
        initial=np.array([1.0, -1.0]),
        measure=["parameters"],
    )
    assert (runs.parameters.diff("step") == 0).all()


def test_large_steps_on_the_logistic_loss_are_the_perceptron(rng):
    x = rng.standard_normal((40, 5))
    labels = np.sign(x @ np.array([1.0, -1.0, 2.0, 0.3, 0.5]))

    def run(loss, step_size):
        problem = Problem(x, labels, loss=loss)
        measure = ["parameters"]
        runs = ls.simulate(
            Linear(5), problem, GD(), step_size, steps=60, residual_bound=1e12, measure=measure
        )
        return runs.parameters.values[0, 0, -1]

    limit = run(perceptron, 1.0)
    far, further = (
        np.linalg.norm(run(logistic, scale) / scale - limit) / np.linalg.norm(limit)
        for scale in (1e4, 1e7)
    )
    assert further < 1e-6
    assert further < far
