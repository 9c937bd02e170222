"""What `opposing-signals` computes."""

from functools import partial

import numpy as np
import xarray as xr

from largestep import measures
from largestep.dynamics import GD, simulate
from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data
from largestep.networks import Gaussian, ReLU
from largestep.problems import Problem, opposing_outliers
from largestep.store import Results

NETWORK = ReLU((21, 20), False, Gaussian(0.1))
ROWS, OUTLIERS = 200, 20
STEP_SIZES = {"η = 0.2": 0.2, "η = 0.25": 0.25}
WITH, WITHOUT = "outliers", "without"
SIZES = {WITH: 6.0, WITHOUT: 0.0}


def compute(budget: Budget) -> Results:
    """Return what GD does to the examples' losses, with the outliers' coordinate and without."""
    return Results.from_dict(
        {
            name: over_data(f"opposing-signals, {name}", budget, partial(_one, budget, size))
            for name, size in SIZES.items()
        }
    )


def _one(budget: Budget, size: float, seed: int) -> xr.Dataset:
    steps = budget.steps(1500)
    train = opposing_outliers(ROWS, 20, size, seed)
    # Without test points of its own the predictions are those at the training points.
    problem = Problem(train.x_train, train.y_train, loss=train.loss)
    run = simulate(
        NETWORK,
        problem,
        GD(),
        STEP_SIZES,
        steps=steps,
        seeds=seed,
        measure=("train_loss", "predictions", measures.curvature(every=max(steps // 20, 1))),
        record=np.arange(steps + 1),
        threads=1,
    ).isel(seed=0, drop=True)
    losses = problem.loss.value(run.predictions.values, problem.y_train)
    changes = np.diff(losses, axis=1)[:, steps // 2 :]
    edge = run.step_size * run.curvature.sel(quantity="largest", drop=True) / 2
    return xr.Dataset(
        {
            "edge": edge.assign_attrs(long_name="ηλ/2"),
            "train_loss": run.train_loss,
            "movement": (("schedule", "example"), np.abs(changes).mean(axis=1)),
            "correlation": (
                ("schedule", "outlier", "other"),
                [_correlation(one[:, :OUTLIERS]) for one in changes],
            ),
            "between_sides": ("schedule", [between_sides(one[:, :OUTLIERS]) for one in changes]),
            "diverged_at": run.diverged_at,
        }
    )


def between_sides(changes: np.ndarray) -> float:
    """Return the correlation of the mean change of every other example with the rest's."""
    sides = np.stack([changes[:, 0::2].mean(axis=1), changes[:, 1::2].mean(axis=1)], axis=1)
    return float(_correlation(sides)[0, 1])


def _correlation(columns: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation: np.ndarray = np.corrcoef(columns.T)
    return correlation
