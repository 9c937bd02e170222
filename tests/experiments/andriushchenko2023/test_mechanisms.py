"""What `bouncing`, `shrinkage`, `columns` and `step-sizes` measure, against what is known."""

import numpy as np
import pytest
import xarray as xr

from largestep.dynamics import SGD, LabelNoise, simulate
from largestep.experiments.andriushchenko2023.bouncing import compute as bouncing
from largestep.experiments.andriushchenko2023.columns.compute import dead_dependent_rank
from largestep.experiments.andriushchenko2023.shrinkage import compute as shrinkage
from largestep.experiments.andriushchenko2023.step_sizes.show import held_step_size, threshold
from largestep.networks import DiagonalLinear
from largestep.problems import Problem


def steps_from(network, problem, theta, dynamics, seeds=6000):
    runs = simulate(
        network,
        problem,
        dynamics,
        1.0,
        steps=1,
        seeds=range(seeds),
        record=[1],
        initial=np.tile(theta, (seeds, 1)),
        measure=["parameters"],
    )
    return runs.parameters.values[0, :, 0]


@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_the_noise_is_the_spread_of_sgds_steps(sparse_problem, diagonal, sigma):
    theta = diagonal.initialize(np.random.default_rng(0))
    dynamics = LabelNoise(sigma) if sigma else SGD()
    taken = steps_from(diagonal, sparse_problem, theta, dynamics)
    found = bouncing.gradient_noise(sigma, diagonal, sparse_problem, theta[np.newaxis])
    assert found[0] == pytest.approx(taken.var(axis=0).sum(), rel=0.06)


def test_ways_are_told_apart():
    # One training point, so that one direction is fast: the first coordinate of u.
    d, steps = 3, 100
    problem = Problem(np.eye(d)[:1], np.ones(1))
    network = DiagonalLinear(d)
    path = np.zeros((steps + 1, 2 * d))
    path[:, d:] = 1.0
    time = np.arange(steps + 1)
    path[:, 0] = np.where((time == 1) | (time == 3), 0.5, 0.0)  # there and back
    path[:, 1] = time  # on and on, where the loss is flat
    thetas = xr.DataArray(
        path[np.newaxis, np.newaxis],
        dims=("schedule", "seed", "step", "parameter"),
        coords={"step": time, "schedule": ["large"], "seed": [0]},
    )
    found = bouncing.followed(network, problem, thetas)
    assert float(found.cosine.sel(speed="slow").squeeze()) == pytest.approx(1.0)
    assert float(found.cosine.sel(speed="fast").squeeze()) == pytest.approx(-1.0)
    gone = bouncing.followed(network, problem, thetas.where(thetas.step < 2))
    assert gone.cosine.isnull().all()


def test_a_step_on_one_example_shrinks_the_imbalance(sparse_problem, diagonal):
    theta = diagonal.initialize(np.random.default_rng(0))
    after = steps_from(diagonal, sparse_problem, theta, SGD(), seeds=1)
    u, v = np.split(theta, 2)
    residuals = diagonal.predict(theta, sparse_problem.x_train) - sparse_problem.y_train
    factors = 1 - (residuals[:, np.newaxis] * sparse_problem.x_train) ** 2
    possible = np.abs((u**2 - v**2) * factors).sum(axis=1)
    assert np.isclose(bouncing.imbalance(diagonal, sparse_problem, after), possible).any()


def test_the_log_of_the_imbalance_is_a_median_and_knows_when_it_is_gone():
    theta = np.array([[1.0, 2.0, 3.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]])
    found = shrinkage.log_imbalance(DiagonalLinear(3), None, theta)
    assert found[0] == pytest.approx(np.log(4.0))
    assert np.isnan(found[1])


def test_columns_are_dead_dependent_or_counted_by_the_rank():
    network = DiagonalLinear(4)
    x = np.random.default_rng(0).standard_normal((20, 4))
    x[:, 2] = 2 * x[:, 1]
    problem = Problem(x, x @ np.ones(4))
    theta = np.array([[1.0, 1.0, 1.0, 0.0, 0.5, 0.5, 0.5, 0.0]])
    # The last coordinate is dead, and of the second and third, one depends on the other.
    assert dead_dependent_rank(4, network, problem, theta).tolist() == [[1.0, 1.0, 2.0]]


def sweep(late):
    late = np.asarray(late)[:, np.newaxis, np.newaxis] * np.ones((1, 3, 5))
    return xr.Dataset(
        {"train_loss": (("schedule", "seed", "step"), late)},
        coords={"eta": ("schedule", np.arange(1.0, 1 + len(late)))},
        attrs={"zero_loss": 1.0},
    )


@pytest.mark.parametrize(
    ("late", "found"),
    [
        ([1e-9, 1e-5, 0.1, 1.0], 2.0),
        ([1e-9, 1e-5, np.nan, 1e-9], 2.0),
        ([1e-9, 1e-9], 2.0),
        ([1.0, 1e-9], np.nan),
    ],
)
def test_the_threshold_is_the_last_step_size_before_the_first_that_stays_up(late, found):
    assert threshold(sweep(late)) == pytest.approx(found, nan_ok=True)


def test_the_held_step_size_is_a_geometric_mean_without_the_decay():
    held = xr.Dataset({"step_size": (("seed", "step"), [[1.0, 4.0, 99.0]])})
    assert held_step_size(held).tolist() == [2.0]
