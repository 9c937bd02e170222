"""Claims over data: every seed draws its own, where `simulate` takes one problem."""

import os
from collections.abc import Callable

import xarray as xr

from largestep.experiments.budget import Budget
from largestep.jobs.base import run
from largestep.jobs.threads import thread_pool

__all__ = ["over_data"]


def over_data(name: str, budget: Budget, of: Callable[[int], xr.Dataset]) -> xr.Dataset:
    """Return what each seed gives, side by side along a new dimension "seed".

    Parameters
    ----------
    name : said where progress is shown.
    budget : its seeds, and how many of them at once: what is simulated for one should take one
        thread.
    of : seed → dataset, of the same shape for each.
    """
    jobs = {seed: (seed,) for seed in budget.seeds}
    with thread_pool(budget.threads or os.cpu_count() or 1) as pool:
        done = dict(run(of, jobs, pool, progress=budget.described(name)))
    along = xr.DataArray(budget.seeds, dims="seed", name="seed")
    return xr.concat([done[seed] for seed in budget.seeds], along, combine_attrs="drop_conflicts")
