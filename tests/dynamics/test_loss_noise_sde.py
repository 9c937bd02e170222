import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, ConstantNoiseSDE, LossNoiseSDE
from largestep.losses import logistic
from largestep.networks import DiagonalLinear
from largestep.problems import Problem


def normals(seed, shape):
    """Return what the noise stream of a seed holds."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(3)[2]).standard_normal(shape)


def by_hand(network, problem, theta, step_size, kind, noise):
    """Write the Euler–Maruyama scheme down; noise has shape (steps, substeps, n)."""
    n, substeps = problem.n, noise.shape[1]
    dt = step_size / substeps
    for increments in noise:
        for z in increments:
            jacobian = network.jacobian(theta, problem.x_train)
            slopes = problem.loss.slope(network.predict(theta, problem.x_train), problem.y_train)
            sizes = slopes if kind == "example" else np.full(n, np.sqrt(np.mean(slopes**2)))
            drift = -slopes @ jacobian / n
            theta = theta + dt * drift + np.sqrt(step_size * dt / n) * (sizes * z) @ jacobian
    return theta


@pytest.mark.parametrize("kind", ["example", "loss"])
@pytest.mark.parametrize("substeps", [1, 3])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_it_is_the_scheme_written_by_hand(sparse_problem, diagonal, kind, substeps, loss):
    problem = sparse_problem
    if loss == "logistic":
        labels = np.where(problem.y_train > 0, 1.0, -1.0)
        problem = Problem(problem.x_train, labels, loss=logistic)
    runs = ls.simulate(
        diagonal,
        problem,
        LossNoiseSDE(kind, substeps=substeps),
        0.05,
        steps=20,
        seeds=[4],
        record=[0, 7, 20],
        measure=["parameters"],
    )
    found = runs.parameters.isel(schedule=0, seed=0)
    start = diagonal.initialize(np.random.default_rng(0))
    noise = normals(4, (20, substeps, problem.n))
    for steps in (7, 20):
        expected = by_hand(diagonal, problem, start, 0.05, kind, noise[:steps])
        np.testing.assert_allclose(found.sel(step=steps), expected, rtol=1e-10)


def test_its_noise_has_the_covariance_of_sgds(sparse_problem, diagonal):
    # One step from the start, over many seeds: GD's in the mean, SGD's raw second moment around it.
    theta = diagonal.initialize(np.random.default_rng(0))
    jacobian = diagonal.jacobian(theta, sparse_problem.x_train)
    residuals = diagonal.predict(theta, sparse_problem.x_train) - sparse_problem.y_train
    gradients = residuals[:, np.newaxis] * jacobian
    runs, plain = (
        ls.simulate(
            diagonal,
            sparse_problem,
            dynamics,
            0.1,
            steps=1,
            seeds=range(4000),
            record=[1],
            measure=["parameters"],
        ).parameters.values[0, :, 0]
        for dynamics in (LossNoiseSDE("example"), GD())
    )
    covariance = (runs - plain).T @ (runs - plain) / len(runs)
    expected = 0.1**2 * gradients.T @ gradients / sparse_problem.n
    np.testing.assert_allclose(covariance, expected, atol=0.08 * expected.max())


def test_a_runaway_is_a_recorded_divergence(sparse_problem):
    runs = ls.simulate(
        DiagonalLinear(8, u0=3.0, v0=2.0), sparse_problem, LossNoiseSDE(), 1.0, steps=50, seeds=[0]
    )
    assert runs.diverged_at.notnull().all()
    assert runs.train_loss.isel(step=-1).isnull().all()


def test_without_a_loss_there_is_no_noise(sparse_problem):
    theta = np.sqrt(np.tile(np.abs(sparse_problem.truth), 2))
    for kind in ("example", "loss"):
        runs = ls.simulate(
            DiagonalLinear(8),
            sparse_problem,
            LossNoiseSDE(kind),
            0.1,
            steps=30,
            seeds=[0],
            initial=theta[np.newaxis],
        )
        assert float(runs.train_loss.max()) < 1e-25
    noisy = ls.simulate(
        DiagonalLinear(8),
        sparse_problem,
        ConstantNoiseSDE(0.1),
        0.1,
        steps=30,
        seeds=[0],
        initial=theta[np.newaxis],
    )
    assert float(noisy.train_loss.max()) > 1e-6


def test_its_settings_are_checked():
    with pytest.raises(ValueError, match="noise must be 'example' or 'loss', got 'batch'"):
        LossNoiseSDE("batch")
    with pytest.raises(ValueError, match="substeps"):
        LossNoiseSDE(substeps=0)
