"""What `tuning-free` computes."""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from largestep import _files, provenance
from largestep.experiments.budget import Budget
from largestep.experiments.extensions.tuning_free import names
from largestep.jobs.base import run as run_blocks
from largestep.jobs.journal import Journal
from largestep.jobs.processes import executor_or_processes
from largestep.store import Results

__all__ = ["choose", "compute"]

_PACKAGE = "largestep.experiments.extensions.tuning_free"
_FOLDER = "tuning-free"


class Run(NamedTuple):
    """A training: of a problem, by a method, from a seed.

    `step_size` is None where the method has no grid.
    """

    problem: str
    method: str
    step_size: float | None
    seed: int


def compute(budget: Budget) -> Results:
    """Return how every method ends on every problem, and how the step sizes of the grids do.

    Raises
    ------
    ValueError
        If seeds are to be shown that choose from the grids.
    """
    both = set(names.CHOOSING) & set(budget.seeds)
    if both:
        raise ValueError(f"seeds must not hold {min(both)}, which chooses from the grids")
    problems = names.QUICK_PROBLEMS if budget.quick else tuple(names.PROBLEMS)
    methods = names.QUICK_METHODS if budget.quick else tuple(names.METHODS)
    of_grids = {
        (p, g): [[Run(p, g, eta, s) for s in names.CHOOSING] for eta in step_sizes]
        for p in problems
        for g, (_, step_sizes) in names.GRIDS.items()
    }
    shown = {(p, m): [Run(p, m, None, s) for s in budget.seeds] for p in problems for m in methods}
    with ExitStack() as stack:
        workers = budget.threads or os.cpu_count() or 1
        executor = stack.enter_context(executor_or_processes(budget.executor, workers))
        take = stack.enter_context(_takes_up(budget, executor))
        found = take([run for rows in of_grids.values() for row in rows for run in row])
        found |= take([run for row in shown.values() for run in row])
        grid = _grid(found, of_grids)
        for p, g in of_grids:
            eta = names.GRIDS[g][1][choose(grid.sel({"problem": p, "method": g}))]
            shown[p, g] = [Run(p, g, eta, s) for s in budget.seeds]
        found |= take([run for key in of_grids for run in shown[key]])
        ways = [*names.GRIDS, *methods]
        step = _timed([[shown[p, m][0] for m in ways] for p in problems], executor)
    contest = _variables(
        [[[found[run].row for run in shown[p, m]] for m in ways] for p in problems],
        ("problem", "method", "seed"),
    )
    step_sizes = [[shown[p, m][0].step_size or np.nan for m in ways] for p in problems]
    contest["step_size"] = ("problem", "method"), step_sizes
    contest["step"] = ("problem", "method"), step, {"long_name": "time of a step", "units": "ms"}
    processors = json.dumps(sorted({done.processor for done in found.values()}))
    contest = contest.assign_coords(problem=list(problems), method=ways, seed=budget.seeds)
    contest = contest.assign_attrs(runs=json.dumps([_FOLDER]), processors=processors)
    return Results.from_dict({"contest": contest, "grid": grid})


def choose(grid: xr.Dataset) -> int:
    """Return which step size is best: of those at which fewest are lost, the least median error.

    Parameters
    ----------
    grid : of one problem and method, with dimensions trial and choosing.
    """
    lost = np.isfinite(grid.diverged_at.values) | (grid.collapsed.values > 0)
    errors = np.median(np.where(lost, np.inf, grid.test_error.values), axis=-1)
    return int(np.lexsort([errors, lost.sum(-1)])[0])


class _Done(NamedTuple):
    row: list[float]
    processor: str


_Take = Callable[[Sequence[Run]], dict[Run, _Done]]


@contextmanager
def _takes_up(budget: Budget, executor: Executor) -> Iterator[_Take]:
    """Yield what does runs, or takes up those that are kept."""
    with ExitStack() as stack:
        kept: dict[str, _Done] = {}
        journal = None
        if budget.folder is not None:
            folder = _files.prepare_folder(budget.folder / _FOLDER)
            journal = stack.enter_context(Journal(folder / "blocks", _FOLDER))
            kept = {str(key): _Done(row.tolist(), str(on)) for key, row, on in journal.read()}

        def take(runs: Sequence[Run]) -> dict[Run, _Done]:
            keys = {run: _key(run, budget.quick) for run in runs}
            missing = [run for run in runs if keys[run] not in kept]
            progress = budget.described(f"{_FOLDER}, {len(missing)} runs")
            for done in run_blocks(
                _train, budget.quick, missing, executor, seconds=0, progress=progress
            ):
                for one, row in zip(done.items, done.result, strict=True):
                    kept[keys[one]] = _Done(row, done.processor)
                    if journal is not None:
                        journal.append(np.array(keys[one]), np.array(row), np.array(done.processor))
            return {run: kept[key] for run, key in keys.items()}

        yield take


def _train(quick: bool, runs: Sequence[Run]) -> list[list[float]]:
    import torch

    from largestep.experiments.extensions.tuning_free import contest, methods, problems

    torch.set_num_threads(1)
    rows = []
    for run in runs:
        task = getattr(problems, names.PROBLEMS[run.problem])(run.seed)
        rows.append(contest.run_one(task, _make(methods, run), run.seed, quick=quick))
    return rows


def _timed(runs: list[list[Run]], executor: Executor) -> list[list[float]]:
    """Return the milliseconds of a step of each method, problem by problem."""
    done = run_blocks(_time, None, runs, executor, seconds=0)
    found = {block.items[0][0].problem: block.result for block in done}
    return [found[row[0].problem] for row in runs]


def _time(shared: None, blocks: Sequence[list[Run]]) -> list[float]:
    import torch

    from largestep.experiments.extensions.tuning_free import contest, methods, problems

    torch.set_num_threads(1)
    (runs,) = blocks
    build = partial(getattr(problems, names.PROBLEMS[runs[0].problem]), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return contest.time_all(build, [_make(methods, run) for run in runs])


def _make(methods: Any, run: Run) -> Any:
    return partial(getattr(methods, _maker(run.method)), **_settings(run))


def _key(run: Run, quick: bool) -> str:
    """Return what stands for all that decides a run: another method's code does not."""
    code = _code(names.PROBLEMS[run.problem], _maker(run.method))
    settings = _settings(run), run.seed, quick
    return provenance.fingerprint(settings, code.digest, dict(code.versions))


@cache
def _code(problem: str, maker: str) -> provenance.Closure:
    return provenance.closure(
        (f"{_PACKAGE}.problems", problem),
        (f"{_PACKAGE}.methods", maker),
        (f"{_PACKAGE}.contest", "run_one"),
    )


def _maker(method: str) -> str:
    return (names.GRIDS[method] if method in names.GRIDS else names.METHODS[method])[0]


def _settings(run: Run) -> Mapping[str, Any]:
    return names.METHODS[run.method][1] if run.step_size is None else {"step_size": run.step_size}


def _grid(
    found: Mapping[Run, _Done], of_grids: Mapping[tuple[str, str], list[list[Run]]]
) -> xr.Dataset:
    problems = list(dict.fromkeys(p for p, _ in of_grids))
    rows = [
        [[[found[run].row for run in row] for row in of_grids[p, g]] for g in names.GRIDS]
        for p in problems
    ]
    grid = _variables(rows, ("problem", "method", "trial", "choosing"))
    grid["step_size"] = ("method", "trial"), [sizes for _, sizes in names.GRIDS.values()]
    first = next(iter(of_grids.values()))
    return grid.assign_coords(
        problem=problems, method=list(names.GRIDS), choosing=[run.seed for run in first[0]]
    )


def _variables(rows: Any, dims: tuple[str, ...]) -> xr.Dataset:
    array = np.array(rows)
    return xr.Dataset({q: (dims, array[..., i]) for i, q in enumerate(names.QUANTITIES)})
