"""How the runs of `tuning-free` are judged: what is lost, what is near the best of the grids."""

import numpy as np
import xarray as xr

from largestep.experiments.extensions.tuning_free import names
from largestep.experiments.extensions.tuning_free.compute import choose
from largestep.store import Results

__all__ = ["judged", "lost_at_largest", "near"]


def judged(results: Results) -> xr.Dataset:
    """Return what is claimed of and drawn.

    Returns
    -------
    Dataset with dimensions problem, method and seed. `best`: the grid whose best step size errs
    least on the seeds that choose; `best_error`: its median on those shown. `lost`: whether a run
    has diverged, collapsed, or learned less than half of what `best` has, that is, brought its
    error less than half as far below the constant's. `error`: the constant's where it is lost.
    `sparsity`: missing there. `ratio`: of the error to `best_error`. `step`: the milliseconds of
    one.
    """
    contest, grid = results["contest"].dataset, results["grid"].dataset
    constant = contest.constant.max(("method", "seed"))
    ways = list(contest.method.values)
    best = [_best(grid.isel(problem=i)) for i in range(contest.sizes["problem"])]
    at_best = [contest.test_error.values[i, ways.index(b)] for i, b in enumerate(best)]
    best_error = constant.copy(data=np.nanmedian(at_best, axis=-1))
    lost = _lost(contest, best_error, constant)
    error = contest.test_error.where(~lost, constant)
    return xr.Dataset(
        {
            "best": ("problem", best),
            "best_error": best_error,
            "lost": lost,
            "error": error,
            "ratio": error / best_error,
            "sparsity": contest.sparsity.where(~lost),
            "step": contest.step,
        }
    )


def near(found: xr.Dataset) -> xr.DataArray:
    """Return for every problem and method whether the median error is near the best of the grids.

    It is at most a tenth above it; or half a point, if that is more, where errors are shares; or
    2 % where they are the loss of text, of which no method can lower most.
    """
    best, problems = found.best_error.values, found.problem.values
    allowed = best * np.where(np.isin(problems, names.TEXTS), 1.02, 1.1)
    half_a_point = np.where(np.isin(problems, names.SHARES), best + 0.005, 0.0)
    return found.error.median("seed") <= found.best_error.copy(
        data=np.maximum(allowed, half_a_point)
    )


def lost_at_largest(results: Results, method: str) -> np.ndarray:
    """Return 1 for each run at a grid's largest step size that is not lost, on all problems."""
    grid = results["grid"].dataset.sel({"method": method}).isel(trial=-1)
    constant = results["contest"].dataset.constant.max(("method", "seed"))
    lost = _lost(grid, judged(results).best_error, constant)
    return (~lost).values.ravel().astype(float)


def _best(grid: xr.Dataset) -> str:
    """Return the method whose best step size is lost least often, then errs least."""
    each = [grid.isel(method=i) for i in range(grid.sizes["method"])]
    at_best = xr.concat([end.isel(trial=choose(end)) for end in each], "trial")
    return str(grid.method.values[choose(at_best)])


def _lost(runs: xr.Dataset, best_error: xr.DataArray, constant: xr.DataArray) -> xr.DataArray:
    learned = (constant - runs.test_error) / (constant - best_error)
    return runs.diverged_at.notnull() | (runs.collapsed > 0) | ~(learned >= 0.5)
