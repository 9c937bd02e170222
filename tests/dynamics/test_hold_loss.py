from dataclasses import replace

import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import HoldLoss, simulation


def by_hand(network, problem, theta, order, rule):
    """Follow the rule as its docstring states it."""
    c = problem.loss.factor
    level = c * np.mean(problem.y_train**2)
    target = rule.target * level
    rate = rule.batch_size / problem.n
    sharpness = np.mean(2 * c * np.sum(network.jacobian(theta, problem.x_train) ** 2, axis=1))
    loss, kappa, sizes = target, 1.0, []
    steps = len(order)
    held = int(np.ceil(rule.hold * steps))
    for k, batch in enumerate(order):
        if k < held:
            sizes.append(kappa / sharpness)
        elif k == held:
            sizes.append(np.exp(np.mean(np.log(sizes[int(np.ceil(held / 2)) :]))) / rule.divisor)
        else:
            sizes.append(sizes[-1])
        x, y = problem.x_train[batch], problem.y_train[batch]
        gradients = network.jacobian(theta, x)
        residuals = network.predict(theta, x) - y
        own = 2 * c * np.sum(gradients**2, axis=1)
        step = np.minimum(sizes[-1], rule.cap / own)
        theta = theta - (2 * c * step * residuals) @ gradients / len(batch)
        loss += rate * (np.mean(c * residuals**2) - loss)
        sharpness += rate * (np.mean(own) - sharpness)
        kappa = max(1.0, kappa * np.exp(rule.gain * max(1 - loss / target, -10)))
    return theta, np.array(sizes)


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(
    ("network", "factor"),
    [(ls.networks.DiagonalLinear(d=8, u0=0.3), 0.5), (ls.networks.ReLU(widths=(8, 5)), 1.0)],
    ids=["diagonal", "relu"],
)
def test_it_follows_its_rule(network, factor, batch_size, sparse_problem, rng, monkeypatch):
    sparse_problem = replace(sparse_problem, loss=ls.losses.Squared(factor))
    monkeypatch.setattr(simulation, "_CHUNK", 130)
    theta = network.initialize(rng)
    order = rng.integers(0, sparse_problem.n, size=(400, batch_size))
    rule = HoldLoss(target=0.1, gain=0.02, cap=1.5, batch_size=batch_size)
    runs = ls.simulate(
        network,
        sparse_problem,
        rule,
        steps=400,
        order=order,
        initial=theta,
        record=range(401),
        measure=["parameters"],
    )
    expected, sizes = by_hand(network, sparse_problem, theta, order, rule)
    np.testing.assert_allclose(runs.step_size[0, 0, 1:], sizes, rtol=1e-9)
    np.testing.assert_allclose(runs.parameters[0, 0, -1], expected, rtol=1e-8, atol=1e-12)


def test_units_of_the_targets_do_not_matter(rng):
    # For h = ⟨u ⊙ v, x⟩ scaling y by s² and θ by s scales the whole trajectory.
    problem = ls.problems.sparse_regression(n=12, d=8, nonzeros=2, seed=0)
    scaled = ls.problems.Problem(problem.x_train, 9 * problem.y_train)
    ends = [
        ls.simulate(
            ls.networks.DiagonalLinear(d=8, u0=u0, v0=0.0),
            data,
            HoldLoss(),
            steps=2000,
            measure=["parameters"],
        ).parameters[0, 0, -1]
        for data, u0 in ((problem, 0.1), (scaled, 0.3))
    ]
    np.testing.assert_allclose(ends[1], 3 * ends[0], rtol=1e-6)


def test_it_holds_the_loss_and_never_diverges():
    problem = ls.problems.sparse_regression(n=80, d=200, nonzeros=20, seed=0)
    runs = ls.simulate(
        ls.networks.DiagonalLinear(d=200),
        problem,
        HoldLoss(),
        steps=100_001,
        seeds=range(8),
    )
    assert runs.diverged_at.isnull().all()
    target = 0.02 * 0.5 * np.mean(problem.y_train**2)
    plateau = runs.train_loss.sel(step=slice(25_000, 49_000)).mean("step")
    assert 0.7 * target < float(plateau.median()) < 2 * target
    assert float(runs.test_loss.isel(step=-1).median()) < 2.5e-5
    assert runs.schedule.item().startswith("HoldLoss(target=0.02")


@pytest.mark.parametrize(
    "settings",
    [
        {"target": 0.0},
        {"hold": 0.0},
        {"hold": 1.5},
        {"divisor": -1.0},
        {"cap": np.nan},
        {"gain": 0.0},
        {"batch_size": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        HoldLoss(**settings)


def test_targets_of_zero_have_no_level_to_hold(diagonal):
    problem = ls.problems.Problem(np.ones((3, 8)), np.zeros(3))
    with pytest.raises(ValueError, match="not all zero"):
        ls.simulate(diagonal, problem, HoldLoss(), steps=10)
