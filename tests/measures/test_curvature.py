"""What measures say of the curvature, the kernel and the kinks, against dense truth."""

import numpy as np
import pytest

import largestep as ls
from largestep import measures, metrics
from largestep.losses import Squared, logistic
from largestep.networks import DiagonalLinear, Linear, ReLU
from largestep.problems import Problem


@pytest.fixture
def problem(rng):
    return Problem(rng.standard_normal((9, 3)), rng.choice([-1.0, 1.0], 9), loss=Squared(1.0))


def hessian(network, problem, theta, batch=slice(None)):
    """Return the Hessian of a batch's mean loss, by differences of gradients."""
    x, y = problem.x_train[batch], problem.y_train[batch]

    def gradient(theta):
        return (
            problem.loss.slope(network.predict(theta, x), y) @ network.jacobian(theta, x) / len(x)
        )

    reach = 1e-5 * np.eye(len(theta))
    return np.array([(gradient(theta + e) - gradient(theta - e)) / 2e-5 for e in reach])


@pytest.mark.parametrize("loss", [Squared(1.0), Squared(), logistic])
def test_curvature_is_that_of_the_hessian_of_a_linear_predictor(problem, loss, rng):
    problem = Problem(problem.x_train, problem.y_train, loss=loss)
    theta = rng.standard_normal(3)
    found = measures.curvature().on(Linear(3), problem, theta[np.newaxis])[0]
    values = np.linalg.eigvalsh(hessian(Linear(3), problem, theta))
    expected = values[-1], values.sum(), np.sqrt(np.sum(values**2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_at_a_fit_it_is_the_hessians_of_a_network(rng):
    network = DiagonalLinear(3)
    theta = rng.standard_normal(6)
    x = rng.standard_normal((5, 3))
    fitted = Problem(x, network.predict(theta, x))
    found = measures.curvature().on(network, fitted, theta[np.newaxis])[0]
    values = np.linalg.eigvalsh(hessian(network, fitted, theta))
    np.testing.assert_allclose(found[:2], (values[-1], values.sum()), rtol=1e-5)


def test_the_critical_step_size_is_the_metrics(problem, rng):
    network = ReLU((3, 4))
    theta = rng.standard_normal((2, network.parameters))
    found = measures.critical_step_size(3).on(network, problem, theta)
    rows = [np.sqrt(2) * network.jacobian(one, problem.x_train) for one in theta]
    assert found == pytest.approx([metrics.critical_step_size(one, 3) for one in rows])


@pytest.mark.parametrize("batch_size", [1, 4, 9, 20])
def test_batch_sharpness_is_the_batches_hessian_along_their_gradients(problem, batch_size, rng):
    network = DiagonalLinear(3)
    theta = rng.standard_normal(6)
    found = measures.batch_sharpness(batch_size, batches=50).on(network, problem, theta[np.newaxis])
    drawn = {1: np.arange(9)[:, None], 4: None}.get(batch_size, np.arange(9)[None])
    if drawn is None:
        drawn = np.random.default_rng(0).integers(0, 9, size=(50, 4))
    expected = []
    for batch in drawn:
        x, y = problem.x_train[batch], problem.y_train[batch]
        slope = problem.loss.slope(network.predict(theta, x), y)
        g = slope @ network.jacobian(theta, x)
        expected.append(g @ hessian(network, problem, theta, batch) @ g / (g @ g))
    assert found[0] == pytest.approx(np.mean(expected), rel=1e-5)


def test_without_a_gradient_there_is_no_batch_sharpness(problem):
    fitted = Problem(problem.x_train, np.zeros(9))
    assert np.isnan(measures.batch_sharpness().on(Linear(3), fitted, np.zeros((1, 3)))[0])


def test_the_kernel_of_a_linear_predictor_does_not_move(problem):
    runs = ls.simulate(
        Linear(3), problem, schedules=0.05, steps=50, measure=[measures.kernel_distance()]
    )
    np.testing.assert_allclose(runs.kernel_distance, 0.0, atol=1e-12)


def test_rescaling_does_not_move_a_kernel_and_turning_it_does(problem, rng):
    network = DiagonalLinear(3)
    theta = np.r_[1.0, 0, 0, 1.0, 0, 0]
    turned = np.r_[0, 1.0, 0, 0, 1.0, 0]
    found = measures.kernel_distance().on(network, problem, np.stack([theta, 3 * theta, turned]))
    kernels = [np.outer(*[problem.x_train[:, j]] * 2) for j in (0, 1)]
    cosine = np.sum(kernels[0] * kernels[1]) / np.prod([np.linalg.norm(k) for k in kernels])
    np.testing.assert_allclose(found, [0, 0, 1 - cosine], atol=1e-12)


def test_kinks_by_hand():
    # Units bend at -1, 0.5, 0.505 (together one kink) and 9, outside; one has no slope.
    weights, biases = np.array([1, -2, 1, 1, 0.0]), np.array([1, 1, -0.505, -9, 3.0])
    theta = np.concatenate([weights, biases, [1, 1, 1, 1, 1.0]])
    line = np.linspace(-2, 2, 5)[:, np.newaxis]
    network, data = ReLU((1, 5), biases=(True, False)), Problem(line, line[:, 0])
    assert measures.kinks().on(network, data, theta[np.newaxis]) == [2]
    # Two that cancel are none.
    theta[10:13] = 0.0, 1.0, -2.0
    assert measures.kinks().on(network, data, theta[np.newaxis]) == [0]


def test_kinks_are_of_a_line(problem):
    with pytest.raises(TypeError, match=r"kinks is for ReLU networks of shape \(1, m\)"):
        measures.kinks().on(ReLU((3, 4)), problem, np.zeros((1, 21)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(2), np.zeros(3), (0.0, 1.0)), r"positions must have shape \(3\)"),
        ((np.zeros(2), np.array([1.0, np.nan]), (0.0, 1.0)), "jumps must be finite"),
        ((np.zeros(2), np.zeros(2), (1.0, 1.0)), "interval must be"),
    ],
)
def test_what_has_no_kinks_is_named(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        metrics.kinks(*arguments)
