"""Phase diagrams: thousands of trajectories over a grid of settings."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from largestep import _checks, _files
from largestep.dynamics.grid import Grid, ends
from largestep.dynamics.recipe import Recipe
from largestep.dynamics.refinement import stages
from largestep.dynamics.sgd import SGD
from largestep.dynamics.table import Table
from largestep.jobs.base import run
from largestep.jobs.journal import Journal
from largestep.jobs.threads import executor_or_threads
from largestep.measures.base import Measure, named
from largestep.measures.losses import train_loss
from largestep.schedules import Schedule, as_schedule, decay

__all__ = ["axis", "decaying", "sweep"]

Axis = Mapping[str, Sequence[float] | np.ndarray]


def decaying(step_size: float = 0.25, factor: float = 2.0, decay_at: float = 0.5) -> Schedule:
    """Return the schedule that a sweep takes by default: one decay."""
    return decay(as_schedule(step_size, "step_size"), factor=factor, at=decay_at)


def sweep(
    network: Any,
    problem: Any,
    *,
    x: Axis,
    y: Axis,
    over: Axis | None = None,
    steps: int,
    seeds: Sequence[int] | range,
    measure: Sequence[str | Measure] = ("train_loss", "test_loss"),
    fixed: Mapping[str, float] | None = None,
    dynamics: Any = None,
    schedule: Any = decaying,
    refine: int = 0,
    out: Path | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Train under every combination of two settings or more, over seeds.

    A setting is a number that a part is made of: ``u0`` of a `DiagonalLinear` network, ``cap`` of
    `SGD`, ``noise`` of `sparse_regression`, ``step_size`` of the schedule. Where several parts have
    one of the same name it is set in all; ``network.d`` is that of one alone.

    Trajectories travel in blocks, and each block is kept when it arrives: a later call takes up
    what is finished, also where its axes have other values or are others.

    Parameters
    ----------
    network, problem, dynamics, schedule : a part, or what makes it of its settings: a function, a
        class or a `functools.partial`. By default `SGD` with batch size 1, and one decay: settings
        step_size (0.25), factor (2) and decay_at (0.5). The schedule is left out of account for a
        dynamics that controls its step size.
    x, y : {name: values}, increasing, one name each.
    over : {name: values} of more axes.
    steps, seeds, threads, executor : as `simulate` takes them.
    measure : what to measure; of each the last value is kept, NaN where the run diverged. The
        training loss is always measured, for the plateau.
    fixed : values of settings that are not swept.
    refine : r > 0 computes every 2^r-th point of x and y first, then those between neighbours that
        lie in different `refinement.regions`, and so on: what is far from a boundary stays NaN.
    out : folder to keep blocks in, as `blocks`; nothing is kept without it. A trajectory is taken
        up if everything that decides it has the same content: data, network, dynamics, measures
        with their parameters, settings, code and versions.
    progress : a description shows the time left; None is silent.

    Returns
    -------
    Dataset with dimensions (x, y, …, seed) under the axes' own names: the measures at the end,
    `diverged_at`, and `plateau_loss`, the median training loss over the second half of the
    large-step phase, which ends with the setting decay_at, or else with the run (NaN where it has
    none or the run diverged in it). With `refine`, `computed` says which points were. Beyond a
    gigabyte the data lie in ``out/results.zarr`` and are read as they are used. The attribute
    "processors" names those that computed: where they are of several kinds, last bits may differ.

    Raises
    ------
    TypeError, ValueError
        If a setting is unknown, comes twice or has no values or bad ones, as `simulate` says, if
        blocks are to be kept and the content of something that decides them can't be read, or if
        there is more than a gigabyte of results and no `out`.
    OSError
        If the folder can't be written to, or another sweep is writing to it.
    ModuleNotFoundError
        If there is more than a gigabyte of results and Zarr isn't installed.
    """
    dynamics = SGD() if dynamics is None else dynamics
    controls = getattr(dynamics, "controls_step_size", False)
    recipe = Recipe(network, problem, dynamics, None if controls else schedule)
    chosen = named(measure)
    if "train_loss" not in [m.name for m in chosen]:
        chosen = [train_loss(), *chosen]
    fixed = _checks.mapping("fixed", {} if fixed is None else fixed)
    axes = _axes(recipe, x, y, {} if over is None else over)
    both = axes.keys() & fixed
    if both:
        raise ValueError(f"a setting must be fixed or swept, got {both.pop()} twice")
    grid = Grid(
        recipe,
        {name: recipe.number(name, value) for name, value in fixed.items()},
        axes,
        _checks.seeds(seeds),
        _checks.integer("steps", steps, at_least=1),
        chosen,
    )
    grid.check()
    refine = _checks.integer("refine", refine, at_least=0)

    with ExitStack() as stack:
        pool = stack.enter_context(executor_or_threads(executor, threads))
        table, journal = Table(grid, out), None
        if out is not None:
            journal = stack.enter_context(Journal(_files.prepare_folder(out) / "blocks", grid.key))
            table.take_up(journal)
        for wanted in stages(table, refine):
            missing = wanted[~table.done[wanted]]
            for done in run(ends, grid, missing, pool, progress=progress):
                if journal is not None:
                    journal.append(grid.keys(done.items), done.result, np.array(done.processor))
                table.put(done.items, done.result, done.processor)
        return table.dataset(points_too=refine > 0)


def axis(text: str) -> dict[str, np.ndarray]:
    """Return the axis that a text such as "step_size=0.05:0.4:40" or "factor=2,4,8" describes.

    Raises
    ------
    ValueError
        If it is neither name=start:stop:count nor name=value,value,…
    """
    name, found, given = text.partition("=")
    try:
        if not found:
            raise ValueError("no =")
        if ":" in given:
            start, stop, count = given.split(":")
            values = np.linspace(float(start), float(stop), int(count))
        else:
            values = np.array([float(value) for value in given.split(",")])
    except ValueError:
        raise ValueError(
            f"an axis must be name=start:stop:count or name=value,value,…, got {text!r}"
        ) from None
    return {name: values}


def _axes(recipe: Recipe, x: Axis, y: Axis, over: Axis) -> dict[str, np.ndarray]:
    for which, given in (("x", x), ("y", y)):
        if len(_checks.mapping(which, given)) != 1:
            raise ValueError(f"{which} must name one setting, got {list(given)}")
    _checks.mapping("over", over)
    axes: dict[str, np.ndarray] = {}
    for name, raw in (*x.items(), *y.items(), *over.items()):
        if name in axes:
            raise ValueError(f"the axes must be different settings, got {name} twice")
        if name == "seed":
            raise ValueError("seed is the dimension of the seeds: name problem.seed for the data's")
        recipe.places(name)
        values = _checks.array(name, raw, dimensions=1)
        if len(values) == 0 or (np.diff(values) <= 0).any():
            raise ValueError(f"{name} must be one or more increasing values, got {values.tolist()}")
        axes[name] = np.array([recipe.number(name, value) for value in values.tolist()])
    return axes
