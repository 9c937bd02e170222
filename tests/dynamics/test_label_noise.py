import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, SGD, LabelNoise
from largestep.losses import Squared, logistic
from largestep.networks import ReLU
from largestep.problems import Problem
from largestep.schedules import decay, linear

BASES = [
    SGD(),
    SGD(batch_size=3),
    SGD(cap=0.5),
    SGD(batch_size=3, cap=0.5, momentum=0.9),
    GD(),
    GD(momentum=0.5),
]


@pytest.mark.parametrize("base", BASES, ids=repr)
def test_no_noise_is_the_descent_bit_for_bit(sparse_problem, diagonal, base):
    def run(dynamics):
        return ls.simulate(
            diagonal,
            sparse_problem,
            dynamics,
            decay(0.05, factor=2, at=0.5),
            steps=500,
            seeds=range(2),
            measure=["parameters"],
        )

    expected = run(base).parameters
    np.testing.assert_array_equal(run(LabelNoise(0.0, of=base)).parameters, expected)
    assert not np.array_equal(run(LabelNoise(0.1, of=base)).parameters, expected)


@pytest.mark.parametrize("base", [SGD(), GD(), SGD(momentum=0.6), GD(momentum=0.6)], ids=repr)
def test_stationary_variance_in_one_dimension(line, base):
    # With noise of variance s² in each step: θ_{k+1} = (1 + μ − ηλ) θ_k − μ θ_{k−1} + noise, an
    # autoregression of order 2. Without momentum this is s²/(2ηλ − η²λ²).
    x = np.ones(1) if isinstance(base, SGD) else np.array([1.0, -0.5, 0.2, 0.8])
    step_size, sigma, samples = 0.5, 0.3, 10_000
    runs = ls.simulate(
        line,
        Problem(x[:, np.newaxis], np.zeros(len(x))),
        LabelNoise(sigma, of=base),
        step_size,
        steps=50 * (samples + 10),
        record=50 * np.arange(10, samples + 10),
        measure=["parameters"],
    )
    curvature, mu = np.mean(x**2), base.momentum
    shock = (step_size * sigma) ** 2 * curvature / len(x)
    spread = shock * (1 + mu) / (1 - mu) / ((1 + mu) ** 2 - (1 + mu - step_size * curvature) ** 2)
    if mu == 0.0:
        closed = step_size * sigma**2 / (len(x) * (2 - step_size * curvature))
        assert spread == pytest.approx(closed)
    thetas = runs.parameters.values.ravel()
    assert abs(thetas.mean()) < 4 * np.sqrt(spread / samples)
    assert abs(thetas.var() - spread) < 4 * spread * np.sqrt(2 / samples)


def test_it_follows_its_equation_with_a_schedule(rng):
    network = ReLU((2, 4))
    problem = Problem(rng.standard_normal((5, 2)), rng.standard_normal(5), loss=Squared(1.0))
    theta = rng.standard_normal(network.parameters)
    order = rng.integers(0, 5, size=(60, 2))
    sigma, steps = linear(0.5, 0.1), 60
    runs = ls.simulate(
        network,
        problem,
        LabelNoise(sigma, of=SGD(batch_size=2)),
        0.02,
        steps=steps,
        seeds=3,
        order=order,
        initial=theta,
        measure=["parameters"],
    )
    stream = np.random.default_rng(np.random.SeedSequence(3).spawn(3)[2])
    noise = sigma(np.arange(steps) / steps)[:, np.newaxis] * stream.standard_normal((steps, 2))
    for batch, xi in zip(order, noise, strict=True):
        x, y = problem.x_train[batch], problem.y_train[batch] + xi
        residuals = network.predict(theta, x) - y
        theta = theta - 0.02 * 2 * residuals @ network.jacobian(theta, x) / 2
    np.testing.assert_allclose(runs.parameters.values[0, 0, -1], theta, rtol=1e-9)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="sigma must be at least 0, got -1"):
        LabelNoise(-1.0)
    with pytest.raises(TypeError, match="sigma must be a number, got None"):
        LabelNoise(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"of must be SGD\(…\) or GD\(…\), got <class"):
        LabelNoise(0.1, of=SGD)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="of must be"):
        LabelNoise(0.1, of=LabelNoise(0.1))  # type: ignore[arg-type]


def test_labels_take_no_additive_noise(line):
    problem = Problem(np.ones((2, 1)), [1.0, -1.0], loss=logistic)
    with pytest.raises(TypeError, match=r"must be a squared one, got Logistic\(\)"):
        ls.simulate(line, problem, LabelNoise(0.1), 0.1, steps=2)
