"""What `stable-minima` computes."""

from functools import partial

import numpy as np
import xarray as xr

from largestep.dynamics import GD, SGD, Dynamics, simulate
from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data
from largestep.measures import Measure, curvature, predictions, weighted_variation
from largestep.networks import Network, ReLU
from largestep.problems import Problem
from largestep.schedules import exponential
from largestep.store import Results

__all__ = ["NOISE", "STEP_SIZES", "WITH_SGD", "compute"]

STEP_SIZES = (0.002, 0.01, 0.1, 0.2, 0.4)
WITH_SGD = 0.1
NOISE = 0.5
_WIDTH, _N = 60, 20
NETWORK = ReLU((1, _WIDTH), True)


def compute(budget: Budget) -> Results:
    """Return how GD and SGD leave a function that fits noise, at several step sizes."""
    runs: dict[str, tuple[Dynamics, tuple[float, ...]]] = {
        "gd": (GD(), STEP_SIZES),
        "sgd": (SGD(), (WITH_SGD,)),
    }
    return Results.from_dict(
        {
            name: over_data(f"stable-minima, {name}", budget, partial(_one, budget, *run))
            for name, run in runs.items()
        }
    )


def noisy(seed: int) -> Problem:
    """Return noisy values of 2|x| − 1 at twenty points, and the true ones between them."""
    rng = np.random.default_rng(seed)
    x = -1.0 + 2.0 * (np.arange(_N) + rng.uniform(0.2, 0.8, _N)) / _N
    between = np.linspace(-0.95, 0.95, 191)
    return Problem(
        x[:, np.newaxis],
        2.0 * np.abs(x) - 1.0 + NOISE * rng.standard_normal(_N),
        between[:, np.newaxis],
        2.0 * np.abs(between) - 1.0,
        description=f"noisy 2|x| - 1; {seed}",
    )


def interpolating(problem: Problem, seed: int) -> np.ndarray:
    """Return parameters at which the network fits all points, but for a thousandth."""
    rng = np.random.default_rng([seed, 1])
    side = rng.choice([-1.0, 1.0], _WIDTH)
    bend = -1.0 + 2.0 * (np.arange(_WIDTH) + rng.uniform(size=_WIDTH)) / _WIDTH
    features = np.maximum(side * (problem.x_train - bend), 0.0)
    outer = np.linalg.lstsq(np.column_stack([features, np.ones(_N)]), problem.y_train)[0]
    # |a| = ‖(w, b)‖ of each unit: of all that compute the function, the least sharp. Units that see
    # no point have a = 0.
    share = np.maximum(np.sqrt(np.abs(outer[:-1]) / np.hypot(1.0, bend)), 1e-3)
    theta = np.concatenate([share * side, -share * side * bend, outer[:-1] / share, outer[-1:]])
    return theta + 1e-3 * rng.standard_normal(theta.shape)


def _one(
    budget: Budget, dynamics: Dynamics, step_sizes: tuple[float, ...], seed: int
) -> xr.Dataset:
    problem, steps = noisy(seed), budget.steps(20_001)
    low = STEP_SIZES[0]
    return simulate(
        NETWORK,
        problem,
        dynamics,
        {f"{eta:g}": exponential(low, eta, until=0.5) for eta in step_sizes},
        steps=steps,
        seeds=seed,
        initial=interpolating(problem, seed),
        record=np.unique(np.linspace(0, steps, 21).astype(np.int64)),
        measure=(
            "train_loss",
            "test_loss",
            curvature(every=1_000),
            weighted_variation(),
            predictions(every=1_000),
            Measure("misfit", _misfit, "mean of |r| √(1 + x²)"),
        ),
        threads=1,
    ).isel(seed=0, drop=True)


def _misfit(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    """Return what the bound gains where the network does not fit."""
    residuals = np.abs(network.predict(thetas, problem.x_train) - problem.y_train)
    misfit: np.ndarray = np.mean(residuals * np.hypot(1.0, problem.x_train[:, 0]), axis=1)
    return misfit
