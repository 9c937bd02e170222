"""What `batch-sharpness` computes."""

from functools import partial

import numpy as np
import xarray as xr

from largestep.dynamics import GD, SGD, Dynamics, simulate
from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data
from largestep.measures import batch_sharpness, critical_step_size, curvature
from largestep.networks import ReLU
from largestep.problems import Problem
from largestep.store import Results

__all__ = ["BATCHES", "FITS", "LARGE", "SMALL", "THRESHOLD_OF", "compute"]

BATCHES = (1, 4, 16, 64)
"""Batch sizes; the last is all examples, GD."""
LARGE, SMALL = 0.05, 0.005
FITS = 1e-3
THRESHOLD_OF = 4
"""The batch size whose exact threshold is taken: batches of one have not fitted by then."""
_N, _D, _DRAWN = BATCHES[-1], 5, 30
NETWORK = ReLU((_D, 20, 20), True)


def compute(budget: Budget) -> Results:
    """Return loss and sharpness of either kind along SGD of several batch sizes, and of GD."""
    return Results.from_dict(
        {
            f"B = {batch}": over_data(
                f"batch-sharpness, B = {batch}", budget, partial(_one, budget, batch)
            )
            for batch in BATCHES
        }
    )


def _one(budget: Budget, batch: int, seed: int) -> xr.Dataset:
    steps = budget.steps(8_001)
    dynamics: Dynamics = GD() if batch == _N else SGD(batch)
    runs = simulate(
        NETWORK,
        labels(seed),
        dynamics,
        {f"{eta:g}": eta for eta in (SMALL, LARGE)},
        steps=steps,
        seeds=seed,
        # Rarely on the way, and eight times in the second half.
        record=np.unique(
            np.r_[np.linspace(0, steps / 2, 4), np.linspace(steps / 2, steps, 9)]
        ).astype(np.int64),
        measure=[
            "train_loss",
            curvature(),
            batch_sharpness(batch, batches=_DRAWN),
            *([critical_step_size(batch, every=1_000)] if batch == THRESHOLD_OF else []),
        ],
        threads=1,
    ).isel(seed=0, drop=True)
    eta = xr.DataArray([SMALL, LARGE], dims="schedule")
    found = xr.Dataset(
        {
            "train_loss": runs.train_loss,
            "batch_sharpness": eta * runs.batch_sharpness / 2,
            "largest": eta * runs.curvature.sel(quantity="largest", drop=True) / 2,
            "diverged_at": runs.diverged_at,
        }
    )
    if batch == THRESHOLD_OF:
        ends = runs.isel(step=-1, drop=True)
        found["of_threshold"] = (eta / ends.critical_step_size).where(ends.train_loss < FITS)
    return found


def labels(seed: int) -> Problem:
    """Return points with labels ±1 that mean nothing."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((_N, _D))
    return Problem(x, rng.choice([-1.0, 1.0], _N), description=f"labels without meaning; {seed}")
