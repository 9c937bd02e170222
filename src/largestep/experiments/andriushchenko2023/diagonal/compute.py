"""SGD on the diagonal linear network, under the paper's schedules."""

import xarray as xr

from largestep.dynamics import SGD, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting
from largestep.experiments.budget import Budget
from largestep.experiments.setting import Setting
from largestep.measures import jacobian_rank
from largestep.store import Results

__all__ = ["MEASURES", "compute", "train"]

MEASURES = (
    "train_loss",
    "test_loss",
    "nonzero_coordinates",
    jacobian_rank((1e-4, 1e-15), every=12),
)


def compute(budget: Budget) -> Results:
    """Return the trajectories."""
    return Results.from_dict({"sgd": train(budget, setting(), description="diagonal")})


def train(budget: Budget, setting: Setting, *, description: str) -> xr.Dataset:
    """Train under the setting's schedules, each seed an order of the examples."""
    return simulate(
        setting.network,
        setting.problem,
        SGD(batch_size=1),
        setting.schedules,
        steps=budget.steps(setting.steps),
        seeds=budget.seeds,
        measure=MEASURES,
        threads=budget.threads,
        executor=budget.executor,
        progress=budget.described(description),
    )
