import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, JacobianPenalizedGD
from largestep.losses import Squared
from largestep.networks import DiagonalLinear, ReLU
from largestep.problems import Problem


def moved(network, problem, theta, dynamics, step_size=1.0):
    """Return where one step leads."""
    runs = ls.simulate(
        network, problem, dynamics, step_size, steps=1, initial=theta, measure=["parameters"]
    )
    return runs.parameters.values[0, 0, 1]


def penalised_loss(network, problem, theta, strength):
    residuals = network.predict(theta, problem.x_train) - problem.y_train
    jacobian = network.jacobian(theta, problem.x_train)
    penalty = np.mean(np.sum(jacobian**2, axis=1))
    return problem.loss.factor * np.mean(residuals**2) + strength * penalty


@pytest.mark.parametrize(
    "network", [DiagonalLinear(3), ReLU((3, 6)), ReLU((3, 6, 4)), ReLU((3, 5, 4, 3))], ids=repr
)
def test_its_gradient_is_that_of_the_penalised_loss(network, rng):
    problem = Problem(rng.standard_normal((7, 3)), rng.standard_normal(7), loss=Squared(1.0))
    theta, reach = rng.standard_normal(network.parameters), 1e-5
    actual = theta - moved(network, problem, theta, JacobianPenalizedGD(0.3))
    expected = np.array(
        [
            (
                penalised_loss(network, problem, theta + shift, 0.3)
                - penalised_loss(network, problem, theta - shift, 0.3)
            )
            / (2 * reach)
            for shift in reach * np.eye(len(theta))
        ]
    )
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


def test_on_a_diagonal_network_it_is_weight_decay(sparse_problem, diagonal, rng):
    # (1/n) Σ ‖∇h_i‖² = Σ_j s_j (u_j² + v_j²) with s_j the mean of x_j².
    theta = rng.standard_normal(16)
    actual = moved(diagonal, sparse_problem, theta, GD()) - moved(
        diagonal, sparse_problem, theta, JacobianPenalizedGD(0.7)
    )
    s = np.mean(sparse_problem.x_train**2, axis=0)
    np.testing.assert_allclose(actual, 2 * 0.7 * np.tile(s, 2) * theta, rtol=1e-7)


@pytest.mark.parametrize("z", [1e-6, 1e-9, 0.0, -1e-9, -1e-6])
def test_at_a_kink_it_stays_between_the_gradients_on_its_sides(z):
    # Two units, of which the second's pre-activation is z. Where it is active,
    # ‖∇h‖² = ⟨a, x⟩² + 1.5²‖x‖² + z² + 2²‖x‖², else without the last two.
    network = ReLU((2, 2), biases=False)
    a, theta = np.array([0.5, 1.0]), np.array([0.5, 1.0, z, 0.0, 1.5, -2.0])
    problem = Problem(np.array([[1.0, 0.3]]), np.array([0.4]))
    x = problem.x_train[0]
    inactive = np.array([*(2 * (a @ x) * x), 0.0, 0.0, 2 * 1.5 * x @ x, 0.0])
    active = inactive + np.array([0.0, 0.0, *(2 * z * x), 0.0, 2 * -2.0 * x @ x])
    actual = moved(network, problem, theta, GD()) - moved(
        network, problem, theta, JacobianPenalizedGD(1.0)
    )
    assert (actual >= np.minimum(active, inactive) - 1e-7).all()
    assert (actual <= np.maximum(active, inactive) + 1e-7).all()


def test_strength_0_is_gd(sparse_problem, diagonal):
    penalised, plain = (
        ls.simulate(diagonal, sparse_problem, dynamics, 0.3, steps=400, measure=["parameters"])
        for dynamics in (JacobianPenalizedGD(0.0), GD())
    )
    np.testing.assert_allclose(penalised.parameters, plain.parameters, rtol=1e-10, atol=1e-14)


def test_on_a_diagonal_network_it_settles_at_a_lasso(sparse_problem, diagonal):
    runs = ls.simulate(
        diagonal,
        sparse_problem,
        JacobianPenalizedGD(0.01),
        0.1,
        steps=200_000,
        record=[200_000],
        measure=["parameters", "train_loss"],
    )
    theta = runs.parameters.values[0, 0, -1]
    u, v = theta[:8], theta[8:]
    # At the minimum u_j² = v_j², and u ⊙ v =: w minimises the lasso with weights 2 s_j.
    np.testing.assert_allclose(u**2, v**2, atol=1e-8)
    x, w = sparse_problem.x_train, u * v
    slope = x.T @ (x @ w - sparse_problem.y_train) / sparse_problem.n
    weight = 0.01 * 2 * np.mean(x**2, axis=0)
    alive = np.abs(w) > 1e-6
    np.testing.assert_allclose(slope[alive], (-weight * np.sign(w))[alive], atol=1e-7)
    assert (np.abs(slope) <= weight + 1e-7).all()
    assert 0 < alive.sum() < 8


def test_a_divergence_ends_it(sparse_problem, diagonal):
    runs = ls.simulate(diagonal, sparse_problem, JacobianPenalizedGD(100.0), 1.0, steps=100)
    assert 0 < runs.diverged_at < 100
    assert runs.train_loss[0, 0, -1].isnull()


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="strength must be at least 0, got -1"):
        JacobianPenalizedGD(-1.0)
    with pytest.raises(TypeError, match="strength must be a number, got None"):
        JacobianPenalizedGD(None)  # type: ignore[arg-type]
