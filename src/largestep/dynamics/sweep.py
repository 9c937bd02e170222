"""Phase diagrams: thousands of trajectories over a plane of two settings."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from largestep import _checks, _files, provenance, store
from largestep._progress import track
from largestep.dynamics.sgd import SGD
from largestep.dynamics.simulation import simulate
from largestep.measures.base import Measure, named
from largestep.measures.losses import train_loss
from largestep.networks.base import Network
from largestep.problems import Problem
from largestep.schedules import Schedule, decay

__all__ = ["AXES", "axis", "sweep"]

AXES = {"step_size": 0.25, "decay_at": 0.5, "factor": 2.0}
"""What a sweep may vary, with the values of what it doesn't."""


def sweep(
    network: Network,
    problem: Problem,
    *,
    x: Mapping[str, Sequence[float] | np.ndarray],
    y: Mapping[str, Sequence[float] | np.ndarray],
    steps: int,
    seeds: Sequence[int] | range,
    measure: Sequence[str | Measure] = ("train_loss", "test_loss"),
    fixed: Mapping[str, float] | None = None,
    dynamics: SGD | None = None,
    out: Path | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Train under every pair of two settings of a decaying step size, over seeds.

    The schedules are `decay(step_size, factor, at=decay_at)`. The column of one x value is
    computed at a time and, with `out`, saved; a later call with the same settings takes it up.

    Parameters
    ----------
    network, problem, dynamics : as `simulate` takes them.
    x, y : {name: values}, one name each, of `AXES`: step_size, decay_at or factor.
    steps, seeds, threads, executor : as `simulate` takes them.
    measure : what to measure; of each the last value is kept, NaN where the run diverged. The
        training loss is always measured, for the plateau.
    fixed : values of the settings that are not swept, in place of those in `AXES`.
    out : folder to save columns in, as `columns/<number>.nc`; nothing is saved without it. A
        column is taken up if everything that decides it has the same content: data, network,
        dynamics, measures with their parameters, code and versions.
    progress : a description shows the time left; None is silent.

    Returns
    -------
    Dataset with dimensions (x, y, seed) under the axes' own names: the measures at the end,
    `diverged_at`, and `plateau_loss`, the median training loss over the second half of the
    large-step phase (NaN where it has none or the run diverged in it).

    Raises
    ------
    TypeError, ValueError
        If an axis is unknown, comes twice or has no values, as `simulate` says, or if columns are
        to be saved and the content of something that decides them can't be read.
    OSError
        If the folder can't be written to, or another process is writing to it.
    """
    (x_name, x_values), (y_name, y_values) = _axis("x", x), _axis("y", y)
    if x_name == y_name:
        raise ValueError(f"x and y must be different axes, got {x_name} twice")
    values = {**AXES, **(_checks.mapping("fixed", fixed) if fixed is not None else {})}
    unknown = set(values) - set(AXES)
    if unknown:
        raise ValueError(f"fixed must name {', '.join(AXES)}, got {unknown.pop()!r}")
    values = {name: _in_range(name, value) for name, value in values.items()}
    steps = _checks.integer("steps", steps, at_least=1)
    dynamics = SGD() if dynamics is None else dynamics
    chosen = named(measure)
    if "train_loss" not in [m.name for m in chosen]:
        chosen = [train_loss(), *chosen]
    listed = _checks.seeds(seeds)
    folder = None if out is None else _files.prepare_folder(out / "columns")

    decides: list[Any] = []
    made_by: dict[str, Any] = {}
    if folder is not None:
        code = provenance.closure((__name__, "sweep"))
        made_by = {"code": code.digest, "versions": dict(code.versions)}
        decides = [network, problem, dynamics, chosen, steps, listed, made_by]
    columns = []
    alone = nullcontext() if folder is None else _files.exclusive(folder)
    with alone, track(progress, len(x_values)) as advance:
        for number, value in enumerate(x_values):
            schedules = {
                f"{other:.17g}": decay(
                    **_keywords({**values, x_name: float(value), y_name: float(other)})
                )
                for other in y_values
            }
            decays = (
                [float(value)] * len(y_values)
                if x_name == "decay_at"
                else [values["decay_at"] if y_name != "decay_at" else at for at in y_values]
            )

            def compute(
                schedules: Mapping[str, Schedule] = schedules, decays: Sequence[float] = decays
            ) -> store.Results:
                runs = simulate(
                    network,
                    problem,
                    dynamics,
                    schedules,
                    steps=steps,
                    seeds=listed,
                    measure=chosen,
                    record=np.unique(np.linspace(0, steps, 81).astype(int)),
                    threads=threads,
                    executor=executor,
                )
                ends = _ends(runs, decays).rename(schedule=y_name)
                return store.Results.from_dict({"column": ends.assign_coords({y_name: y_values})})

            if folder is None:
                stored = compute()
            else:
                key = provenance.fingerprint(decides, schedules, decays)
                path = folder / f"{number:04}.nc"
                stored = store.taken_up_or_computed(
                    path, {"key": key, "steps": steps, **made_by}, compute
                )
            columns.append(stored["column"].to_dataset())
            advance()
    together = xr.concat(
        columns, xr.DataArray(x_values, dims=x_name, name=x_name), combine_attrs="drop_conflicts"
    )
    return together.transpose(x_name, y_name, "seed")


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


def _axis(which: str, given: Mapping[str, Sequence[float] | np.ndarray]) -> tuple[str, np.ndarray]:
    if len(_checks.mapping(which, given)) != 1 or next(iter(given)) not in AXES:
        raise ValueError(f"{which} must name one of {', '.join(AXES)}, got {list(given)}")
    ((name, raw),) = given.items()
    values = _checks.array(name, raw, dimensions=1)
    if len(values) == 0 or (np.diff(values) <= 0).any():
        raise ValueError(f"{name} must be one or more increasing values, got {values.tolist()}")
    for value in (values[0], values[-1]):
        _in_range(name, value)
    return name, values


def _in_range(name: str, value: float) -> float:
    """Return a setting of the schedule, or say why it can't be one."""
    if name == "factor":
        return _checks.number(name, value, above=0.0)
    return _checks.number(name, value, at_least=0.0, at_most=1.0 if name == "decay_at" else np.inf)


def _keywords(values: Mapping[str, float]) -> dict[str, Any]:
    return {"before": values["step_size"], "factor": values["factor"], "at": values["decay_at"]}


def _ends(dataset: xr.Dataset, decays: Sequence[float]) -> xr.Dataset:
    """Return the last values, and the loss on the second half of each large-step phase."""
    steps = float(dataset.step[-1])
    levels = []
    for label, at in zip(dataset.schedule.values, decays, strict=True):
        curve = dataset.train_loss.sel(schedule=label)
        phase = curve.sel(step=slice(0.5 * at * steps, max(at * steps - 1, 0)))
        if phase.step.size:
            levels.append(phase.median("step", skipna=False))
        else:  # without a recorded step it has no level
            levels.append(xr.full_like(curve.isel(step=0, drop=True), np.nan))
    ends = dataset.drop_vars("step_size").isel(step=-1, drop=True)
    level = xr.concat(levels, dataset.schedule)
    level.attrs.update(long_name="training loss before the decay", units="1")
    return ends.assign(plateau_loss=level)
