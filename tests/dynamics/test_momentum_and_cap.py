import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, SGD
from largestep.losses import Squared
from largestep.networks import DiagonalLinear, ReLU
from largestep.problems import Problem
from largestep.schedules import decay


def by_hand(network, problem, theta, order, step_sizes, momentum=0.0, cap=np.inf):
    """Take the steps as PyTorch would, each example's step size capped."""
    factor, velocity = 2 * problem.loss.factor, np.zeros_like(theta)
    for batch, step_size in zip(order, step_sizes, strict=True):
        x = problem.x_train[batch]
        jacobian = network.jacobian(theta, x)
        residuals = network.predict(theta, x) - problem.y_train[batch]
        with np.errstate(divide="ignore"):
            own = np.minimum(step_size, cap / (factor * np.sum(jacobian**2, axis=1)))
        gradient = np.mean((own * factor * residuals)[:, np.newaxis] * jacobian, axis=0)
        velocity = momentum * velocity + gradient / step_size
        theta = theta - step_size * velocity
    return theta


def end(runs):
    return runs.parameters.isel(schedule=0, seed=0, step=-1).values


def material(rng, network, batch, steps, factor=1.0):
    problem = Problem(rng.standard_normal((6, 2)), rng.standard_normal(6), loss=Squared(factor))
    order = rng.integers(0, 6, size=(steps, batch)) if batch < 6 else np.tile(range(6), (steps, 1))
    return problem, rng.standard_normal(network.parameters), order


@pytest.mark.parametrize("network", [ReLU((2, 5)), DiagonalLinear(2)], ids=repr)
@pytest.mark.parametrize("batch", [1, 3, 6])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("cap", [None, 0.3])
def test_they_follow_their_equations(network, batch, momentum, cap, rng):
    steps, schedule = 100, decay(0.1, factor=4, at=0.5)
    problem, theta, order = material(rng, network, batch, steps)
    dynamics = GD(cap, momentum) if batch == 6 else SGD(batch, cap, momentum)
    runs = ls.simulate(
        network,
        problem,
        dynamics,
        schedule,
        steps=steps,
        order=order if batch < 6 else None,
        initial=theta,
        measure=["parameters"],
    )
    step_sizes = schedule(np.arange(steps) / steps)
    expected = by_hand(
        network, problem, theta, order, step_sizes, momentum, np.inf if cap is None else cap
    )
    np.testing.assert_allclose(end(runs), expected, rtol=1e-8)


@pytest.mark.parametrize("batch", [1, 6])
def test_momentum_is_pytorchs(batch, rng):
    torch = pytest.importorskip("torch")
    network, steps, schedule = DiagonalLinear(2), 100, decay(0.05, factor=4, at=0.5)
    problem, theta, order = material(rng, network, batch, steps, factor=0.5)
    dynamics = GD(momentum=0.8) if batch == 6 else SGD(momentum=0.8)
    runs = ls.simulate(
        network,
        problem,
        dynamics,
        schedule,
        steps=steps,
        order=order if batch < 6 else None,
        initial=theta,
        measure=["parameters"],
    )
    parameters = torch.tensor(theta, requires_grad=True)
    optimizer = torch.optim.SGD([parameters], lr=0.1, momentum=0.8)
    for step, examples in enumerate(order):
        optimizer.param_groups[0]["lr"] = float(schedule(step / steps)[0])
        x = torch.tensor(problem.x_train[examples])
        y = torch.tensor(problem.y_train[examples])
        optimizer.zero_grad()
        loss = 0.5 * torch.mean((x @ (parameters[:2] * parameters[2:]) - y) ** 2)
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(end(runs), parameters.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_heavy_ball_is_stable_below_twice_one_plus_momentum(line, momentum):
    problem = Problem(np.array([[1.0], [2.0]]), np.array([1.0, 2.0]))  # curvature 2.5
    edge = 2 * (1 + momentum) / 2.5
    runs = ls.simulate(
        line,
        problem,
        GD(momentum=momentum),
        {"below": 0.95 * edge, "above": 1.05 * edge},
        steps=2000,
        measure=["train_loss"],
    )
    assert runs.train_loss.sel(schedule="below")[0, -1] < 1e-20
    assert runs.diverged_at.sel(schedule="above") > 0


def test_a_capped_step_multiplies_its_residual_by_one_minus_cap(line):
    runs = ls.simulate(
        line,
        Problem(np.array([[3.0]]), np.array([6.0])),
        SGD(cap=1.5),
        100.0,
        steps=20,
        measure=["parameters"],
    )
    residuals = 3 * runs.parameters.values.ravel() - 6
    np.testing.assert_allclose(residuals, -6 * (1 - 1.5) ** np.arange(21), rtol=1e-10)


def free_and_capped(network, problem, batch, steps):
    """Return a trajectory without a cap, and one whose cap is out of reach."""
    return (
        ls.simulate(
            network, problem, SGD(batch, cap=cap), 0.1, steps=steps, measure=["parameters"]
        ).parameters
        for cap in (None, 1e300)
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_cap_out_of_reach_changes_no_bit(sparse_problem, batch):
    network = ReLU((8, 5))
    assert network.stride is network.predictions is network.combination is None
    free, capped = free_and_capped(network, sparse_problem, batch, steps=500)
    np.testing.assert_array_equal(free, capped)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_cap_out_of_reach_changes_a_shortcut_by_rounding_alone(sparse_problem, diagonal, batch):
    free, capped = free_and_capped(diagonal, sparse_problem, batch, steps=100)
    np.testing.assert_allclose(free, capped, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [SGD, GD])
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"cap": 0.0}, ValueError, "cap must be above 0, got 0"),
        ({"cap": float("inf")}, ValueError, "cap must be finite"),
        ({"cap": "4"}, TypeError, "cap must be a number, got '4'"),
        ({"momentum": 1.0}, ValueError, "momentum must be below 1, got 1"),
        ({"momentum": -0.1}, ValueError, "momentum must be at least 0, got -0.1"),
        ({"momentum": None}, TypeError, "momentum must be a number, got None"),
    ],
)
def test_wrong_settings_are_named(kind, settings, error, message):
    with pytest.raises(error, match=message):
        kind(**settings)
