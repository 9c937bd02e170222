"""Claims over data: every seed draws its own, where `simulate` takes one problem."""

from collections.abc import Callable, Sequence

import xarray as xr

from largestep.experiments.budget import Budget
from largestep.jobs.base import run
from largestep.jobs.threads import executor_or_threads

__all__ = ["over_data"]


def over_data(name: str, budget: Budget, of: Callable[[int], xr.Dataset]) -> xr.Dataset:
    """Return what each seed gives, side by side along a new dimension "seed".

    They are computed on threads of this process: it is seconds, and `of` may be a lambda.

    Parameters
    ----------
    name : said where progress is shown.
    budget : its seeds, and how many of them at once: what is simulated for one should take one
        thread.
    of : seed → dataset, of the same shape for each.
    """
    done: dict[int, xr.Dataset] = {}
    with executor_or_threads(None, budget.threads) as pool:
        for block in run(_each, of, budget.seeds, pool, seconds=0, progress=budget.described(name)):
            done |= zip(block.items, block.result, strict=True)
    along = xr.DataArray(budget.seeds, dims="seed", name="seed")
    return xr.concat([done[seed] for seed in budget.seeds], along, combine_attrs="drop_conflicts")


def _each(of: Callable[[int], xr.Dataset], seeds: Sequence[int]) -> list[xr.Dataset]:
    return [of(seed) for seed in seeds]
