import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, SAM, SGD, GradientRegularization
from largestep.losses import Squared
from largestep.networks import DiagonalLinear, ReLU
from largestep.problems import Problem
from largestep.schedules import decay

BASES = [SGD(), SGD(batch_size=3, cap=0.4, momentum=0.5), GD(), GD(cap=0.4, momentum=0.5)]


def by_hand(network, problem, theta, order, step_sizes, dynamics):
    """Take the steps as the equations write them; return where each of them leads."""
    strength, reach = (
        (dynamics.rho, dynamics.rho)
        if isinstance(dynamics, SAM)
        else (dynamics.strength, dynamics.reach)
    )
    base, factor = dynamics.of, 2 * problem.loss.factor
    cap = np.inf if base.cap is None else base.cap
    velocity = np.zeros_like(theta)
    path = [theta]

    def gradients(theta, x, y):
        residuals = network.predict(theta, x) - y
        return (factor * residuals)[:, np.newaxis] * network.jacobian(theta, x)

    for batch, step_size in zip(order, step_sizes, strict=True):
        x, y = problem.x_train[batch], problem.y_train[batch]
        here = gradients(theta, x, y)
        if dynamics.per_example:
            uphill = theta + reach * here
        else:
            uphill = np.tile(theta + reach * here.mean(axis=0), (len(batch), 1))
        taken = []
        for b in range(len(batch)):
            jacobian = network.jacobian(uphill[b], x[[b]])
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.minimum(1.0, cap / (step_size * factor * np.sum(jacobian**2)))
            ahead = gradients(uphill[b], x[[b]], y[[b]])[0]
            taken.append(share * ((1 - strength / reach) * here[b] + strength / reach * ahead))
        velocity = base.momentum * velocity + np.mean(taken, axis=0)
        theta = theta - step_size * velocity
        path.append(theta)
    return np.array(path)


@pytest.mark.parametrize("base", BASES, ids=repr)
@pytest.mark.parametrize("per_example", [True, False])
@pytest.mark.parametrize("network", [ReLU((2, 5, 3)), DiagonalLinear(2)], ids=repr)
@pytest.mark.parametrize(
    "kind",
    [
        lambda **of: SAM(0.03, **of),
        lambda **of: GradientRegularization(0.03, 0.03, **of),
        lambda **of: GradientRegularization(0.05, 0.02, **of),
        lambda **of: GradientRegularization(0.05, -0.02, **of),
    ],
    ids=["SAM", "as SAM", "uphill", "downhill"],
)
def test_it_follows_its_equations(network, per_example, base, kind, rng):
    problem = Problem(rng.standard_normal((6, 2)), rng.standard_normal(6), loss=Squared(1.0))
    theta = rng.standard_normal(network.parameters)
    steps, batch = 80, base.batch(6)
    if isinstance(base, GD):
        order = np.tile(np.arange(6), (steps, 1))
    else:
        order = rng.integers(0, 6, size=(steps, batch))
    schedule = decay(0.05, factor=3, at=0.5)
    dynamics = kind(of=base, per_example=per_example)
    runs = ls.simulate(
        network,
        problem,
        dynamics,
        schedule,
        steps=steps,
        order=order if dynamics.takes_order else None,
        initial=theta,
        record=[0, 17, steps],
        measure=["parameters"],
    )
    step_sizes = schedule(np.arange(steps) / steps)
    expected = by_hand(network, problem, theta, order, step_sizes, dynamics)[runs.step.values]
    np.testing.assert_allclose(runs.parameters[0, 0], expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("base", BASES, ids=repr)
@pytest.mark.parametrize("per_example", [True, False])
def test_at_rho_0_it_is_the_descent(sparse_problem, diagonal, per_example, base):
    def run(dynamics):
        return ls.simulate(
            diagonal, sparse_problem, dynamics, 0.05, steps=400, measure=["parameters"]
        ).parameters

    actual = run(SAM(0.0, of=base, per_example=per_example))
    np.testing.assert_allclose(actual, run(base), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("per_example", [True, False])
def test_to_first_order_it_descends_a_penalised_loss(sparse_problem, diagonal, rng, per_example):
    theta, rho = 0.4 * rng.standard_normal(16), 1e-5

    def penalty(theta):
        residuals = diagonal.predict(theta, sparse_problem.x_train) - sparse_problem.y_train
        own = residuals[:, np.newaxis] * diagonal.jacobian(theta, sparse_problem.x_train)
        if per_example:
            return np.mean(np.sum(own**2, axis=1)) / 2
        return np.sum(np.mean(own, axis=0) ** 2) / 2

    def move(dynamics):
        runs = ls.simulate(
            diagonal, sparse_problem, dynamics, 1.0, steps=1, initial=theta, measure=["parameters"]
        )
        return runs.parameters.values[0, 0, 1] - theta

    actual = -(move(SAM(rho, GD(), per_example)) - move(GD())) / rho
    expected = [
        (penalty(theta + shift) - penalty(theta - shift)) / 2e-5 for shift in 1e-5 * np.eye(16)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_with_a_batch_of_one_both_forms_are_the_same(sparse_problem, diagonal):
    one, all_of_it = (
        ls.simulate(
            diagonal, sparse_problem, SAM(0.05, per_example=per_example), 0.1, steps=300
        ).train_loss
        for per_example in (True, False)
    )
    np.testing.assert_allclose(one, all_of_it, rtol=1e-10)


@pytest.mark.parametrize("per_example", [True, False])
def test_a_residual_beyond_the_bound_uphill_is_a_divergence(sparse_problem, diagonal, per_example):
    runs = ls.simulate(diagonal, sparse_problem, SAM(1e12, per_example=per_example), 0.01, steps=50)
    assert runs.diverged_at == 0
    assert runs.train_loss[0, 0, 0].notnull()
    assert runs.train_loss[0, 0, 1:].isnull().all()


@pytest.mark.parametrize("per_example", [True, False])
def test_with_a_short_reach_the_sign_does_not_matter(sparse_problem, diagonal, per_example):
    ahead, back = (
        ls.simulate(
            diagonal,
            sparse_problem,
            GradientRegularization(0.1, reach, GD(), per_example),
            0.05,
            steps=50,
            measure=["parameters"],
        ).parameters
        for reach in (1e-6, -1e-6)
    )
    np.testing.assert_allclose(ahead, back, rtol=1e-4, atol=1e-6)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="strength must be at least 0, got -1"):
        GradientRegularization(-1.0, 0.1)
    with pytest.raises(ValueError, match="reach must not be 0"):
        GradientRegularization(1.0, 0.0)
    with pytest.raises(ValueError, match="rho must be at least 0, got -1"):
        SAM(-1.0)
    with pytest.raises(TypeError, match="rho must be a number, got '1'"):
        SAM("1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"of must be SGD\(…\) or GD\(…\)"):
        SAM(0.1, of=GD)  # type: ignore[arg-type]
