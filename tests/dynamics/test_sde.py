import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, SGD, ConstantNoiseSDE, plateau_noise
from largestep.losses import Squared, logistic
from largestep.networks import Network, ReLU, ScalarQuadratic, compiled
from largestep.problems import Problem
from largestep.schedules import decay, linear, piecewise


@compiled
def linear_network(theta, x, layout, workspace, gradient):
    h = 0.0
    for j in range(x.shape[0]):
        h += theta[j] * x[j]
        gradient[j] = x[j]
    return h


class Linear(Network):
    prediction_and_gradient = linear_network
    inputs = parameters = 2

    def initialize(self, rng):
        return np.zeros(2)


def normals(seed, shape):
    """Return what the noise stream of a seed holds."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(3)[2]).standard_normal(shape)


def by_hand(network, problem, theta, step_sizes, deltas, noise):
    """Write the Euler–Maruyama scheme down; noise has shape (steps, substeps, n)."""
    factor, substeps = 2 * problem.loss.factor / problem.n, noise.shape[1]
    for step_size, delta, increments in zip(step_sizes, deltas, noise, strict=True):
        dt = step_size / substeps
        for z in increments:
            jacobian = network.jacobian(theta, problem.x_train)
            residuals = network.predict(theta, problem.x_train) - problem.y_train
            drift = -factor * residuals @ jacobian
            theta = theta + dt * drift + np.sqrt(step_size * delta * dt) * z @ jacobian
    return theta


def end(runs):
    return runs.parameters.isel(schedule=0, seed=0, step=-1).values


@pytest.mark.parametrize("substeps", [1, 16])
def test_geometric_brownian_motion_in_law(substeps):
    # Near 0, ScalarQuadratic has dθ = (2y − 2x²θ²) θ dt + 2x√(ηδ) θ dB, whose cubic term is below
    # rounding: with x = 1, a geometric Brownian motion with μ = 2y and s² = 4ηδ.
    step_size, steps, seeds, mu, variance = 0.05, 40, 4000, 1.0, 0.5
    runs = ls.simulate(
        ScalarQuadratic(theta0=1e-9),
        Problem(np.ones((1, 1)), np.array([mu / 2])),
        ConstantNoiseSDE(variance / (4 * step_size), substeps=substeps),
        step_size,
        steps=steps,
        seeds=range(seeds),
        record=[steps],
        measure=["parameters"],
        threads=2,
    )
    logs = np.log(runs.parameters.values.ravel() / 1e-9)
    time = step_size * steps

    # What the scheme itself converges to: independent factors 1 + μ dt + s √dt z, by quadrature.
    dt = step_size / substeps
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    weights = weights / weights.sum()
    factors = np.log(1 + mu * dt + np.sqrt(variance * dt) * nodes)
    scheme_mean = time / dt * weights @ factors
    scheme_variance = time / dt * (weights @ factors**2 - (weights @ factors) ** 2)
    expected = [(scheme_mean, scheme_variance)]
    if substeps == 16:
        # Refined, the bias is below a sixth of a standard error of the mean.
        expected.append(((mu - variance / 2) * time, variance * time))
    for mean, spread in expected:
        assert abs(logs.mean() - mean) < 4 * np.sqrt(spread / seeds)
        assert abs(logs.var() - spread) < 4 * spread * np.sqrt(2 / seeds)


@pytest.mark.parametrize("substeps", [1, 8])
def test_ornstein_uhlenbeck_covariance(substeps):
    # With h = ⟨θ, x⟩ and A = XᵀX/n: dθ = −A(θ − θ*) dt + √(ηδ) Xᵀ dB, whose stationary
    # covariance Σ solves AΣ + ΣA = ηδ XᵀX: Σ = (ηδn/2) I. The scheme's is ηδn (2I − dt A)⁻¹.
    x = np.array([[1.0, 0.5], [-0.3, 1.2], [0.8, -0.4]])
    truth, step_size, delta, samples = np.array([1.0, -1.0]), 1.0, 0.02, 8000
    runs = ls.simulate(
        Linear(),
        Problem(x, x @ truth),
        ConstantNoiseSDE(delta, substeps=substeps),
        step_size,
        steps=20 * (samples + 2),
        record=20 * np.arange(3, samples + 3),  # a correlation of e⁻¹⁰ from one to the next
        measure=["parameters"],
    )
    thetas = runs.parameters.values[0, 0]
    scale = step_size * delta * len(x)
    curvature = x.T @ x / len(x)
    scheme = scale * np.linalg.inv(2 * np.eye(2) - step_size / substeps * curvature)
    error = scale / np.sqrt(samples)
    np.testing.assert_allclose(thetas.mean(axis=0), truth, atol=4 * np.sqrt(scale / samples))
    np.testing.assert_allclose(np.cov(thetas.T), scheme, atol=4 * error)
    if substeps == 8:
        np.testing.assert_allclose(scheme, scale / 2 * np.eye(2), atol=0.05 * scale)


def test_without_noise_it_is_gd(sparse_problem, diagonal):
    def run(dynamics, step_size, steps):
        return end(
            ls.simulate(
                diagonal, sparse_problem, dynamics, step_size, steps=steps, measure=["parameters"]
            )
        )

    descended = run(GD(), 0.3, 200)
    np.testing.assert_array_equal(run(ConstantNoiseSDE(0.0), 0.3, 200), descended)
    np.testing.assert_allclose(run(ConstantNoiseSDE(1e-24), 0.3, 200), descended, rtol=1e-6)
    np.testing.assert_allclose(
        run(ConstantNoiseSDE(0.0, substeps=4), 0.3, 200), run(GD(), 0.3 / 4, 800), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("network", "factor"), [(ReLU((2, 4)), 1.0), (Linear(), 0.5), (Linear(), 1.0)]
)
@pytest.mark.parametrize("after", [False, True])
def test_it_follows_the_scheme_with_a_measured_delta(network, factor, after, rng):
    x, y = rng.standard_normal((5, 2)), rng.standard_normal(5)
    problem = Problem(x, y, loss=Squared(factor))
    theta = 0.5 * rng.standard_normal(network.parameters)
    delta = piecewise({0: 0.01, 0.25: linear(0.0, 0.02)})
    schedule = decay(linear(0.02, 0.08, until=0.5), factor=2, at=0.75)
    steps, substeps = 40, 3
    runs = ls.simulate(
        network,
        problem,
        ConstantNoiseSDE(delta, substeps=substeps, noise_after_decay=after),
        schedule,
        steps=steps,
        seeds=7,
        initial=theta,
        measure=["parameters"],
    )
    t = np.arange(steps) / steps
    deltas = np.where((t < 0.75) | after, delta(t), 0.0)
    noise = normals(7, (steps, substeps, problem.n))
    expected = by_hand(network, problem, theta, schedule(t), deltas, noise)
    np.testing.assert_allclose(end(runs), expected, rtol=1e-9)
    assert (runs.step.values == np.arange(steps + 1)).all()
    middle = by_hand(network, problem, theta, schedule(t)[:11], deltas[:11], noise[:11])
    np.testing.assert_allclose(runs.parameters.values[0, 0, 11], middle, rtol=1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_plateau_noise_is_sgds(factor):
    # All r_i² are equal and the mean gradient is 0: SGD's noise is exactly η²δ φᵀφ.
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 2.0], [0.6, 2.0]])
    problem = Problem(x, np.array([0.3, -0.3, 0.3, -0.3]), loss=Squared(factor))
    network = Linear()
    runs = ls.simulate(
        network,
        problem,
        SGD(),
        0.1,
        steps=1,
        seeds=range(4),
        order=np.arange(4).reshape(4, 1, 1),
        measure=["parameters", "train_loss"],
    )
    moves = runs.parameters.values[0, :, 1]
    delta = plateau_noise(float(runs.train_loss[0, 0, 0]), problem)
    np.testing.assert_allclose(moves.mean(axis=0), 0.0, atol=1e-15)
    np.testing.assert_allclose(moves.T @ moves / 4, 0.1**2 * delta * x.T @ x, rtol=1e-12)
    assert plateau_noise(1.0, problem, batch_size=5) == pytest.approx(4 * factor / 20)


def test_a_divergence_is_counted_in_whole_steps(sparse_problem, diagonal):
    runs = ls.simulate(
        diagonal, sparse_problem, ConstantNoiseSDE(1e3, substeps=3), 0.3, steps=500, seeds=range(4)
    )
    for seed in runs.seed:
        run = runs.sel(seed=seed).isel(schedule=0)
        at = int(run.diverged_at)
        assert 0 < at < 500
        assert np.isnan(run.train_loss.sel(step=slice(at + 1, None))).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"delta": -1.0}, ValueError, "delta must be at least 0, got -1"),
        ({"delta": float("nan")}, ValueError, "delta must be finite"),
        ({"delta": "plateau"}, TypeError, "delta must be a number, got 'plateau'"),
        ({"delta": 1.0, "substeps": 0}, ValueError, "substeps must be at least 1, got 0"),
        ({"delta": 1.0, "substeps": 1.5}, TypeError, "substeps must be an integer"),
    ],
)
def test_wrong_settings_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        ConstantNoiseSDE(**settings)


def test_wrong_plateaus_are_named(sparse_problem):
    with pytest.raises(ValueError, match="train_loss must be finite"):
        plateau_noise(float("nan"), sparse_problem)
    with pytest.raises(ValueError, match="train_loss must be at least 0"):
        plateau_noise(-1.0, sparse_problem)
    labelled = Problem(np.ones((2, 2)), [1.0, -1.0], loss=logistic)
    with pytest.raises(TypeError, match=r"must be a squared one, got Logistic\(\)"):
        plateau_noise(1.0, labelled)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        plateau_noise(1.0, sparse_problem, batch_size=0)
