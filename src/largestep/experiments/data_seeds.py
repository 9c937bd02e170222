"""Claims over data: every seed draws its own, where `simulate` takes one problem."""

import os
from collections.abc import Callable, Sequence

import xarray as xr

from largestep.experiments.budget import Budget
from largestep.jobs.base import run
from largestep.jobs.processes import executor_or_processes
from largestep.jobs.threads import executor_or_threads, single_blas_thread

__all__ = ["over_data"]


def over_data(
    name: str, budget: Budget, of: Callable[[int], xr.Dataset], *, processes: bool = False
) -> xr.Dataset:
    """Return what each seed gives, side by side along a new dimension "seed".

    They are computed on threads of this process, as they take seconds and `of` may be a lambda, or
    in `processes`.

    Parameters
    ----------
    name : said where progress is shown.
    budget : its seeds, and how many of them at once: what is simulated for one should take one
        thread.
    of : seed → dataset, of the same shape for each.
    processes : compute on the budget's executor, or in processes of this machine where more than
        one thread is allowed: for loops in Python, of which threads run one at a time. `of` must be
        picklable.
    """
    done: dict[int, xr.Dataset] = {}
    workers = min(budget.threads or os.cpu_count() or 1, len(budget.seeds))
    apart = processes and (workers > 1 or budget.executor is not None)
    with (
        executor_or_processes(budget.executor, workers)
        if apart
        else executor_or_threads(None, budget.threads)
    ) as pool:
        for block in run(_each, of, budget.seeds, pool, seconds=0, progress=budget.described(name)):
            done |= zip(block.items, block.result, strict=True)
    along = xr.DataArray(budget.seeds, dims="seed", name="seed")
    return xr.concat([done[seed] for seed in budget.seeds], along, combine_attrs="drop_conflicts")


def _each(of: Callable[[int], xr.Dataset], seeds: Sequence[int]) -> list[xr.Dataset]:
    # A process of its own would take a thread of BLAS for every core.
    with single_blas_thread():
        return [of(seed) for seed in seeds]
