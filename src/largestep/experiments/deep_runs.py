"""Training runs of deep networks side by side: schedules × seeds, each taken up after a kill."""

import hashlib
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from largestep import provenance
from largestep._progress import track
from largestep.experiments.base import Budget
from largestep.jobs.base import run
from largestep.jobs.processes import process_pool

if TYPE_CHECKING:
    from largestep.deep.data import Dataset
    from largestep.deep.training import Trained, Training

__all__ = ["run_all", "survived"]

Work = Callable[["Trained", "Training", "Dataset"], xr.Dataset]
"""Makes a dataset of a trained network, its settings and its data; a module's own function."""

_Job = tuple["Training", Path | None]


def run_all(
    name: str,
    budget: Budget,
    schedules: "Mapping[str, Training]",
    data: "Dataset",
    work: Work,
) -> xr.Dataset:
    """Train under every schedule with every seed, and put together what is made of the networks.

    On the CPU a process trains a network on one thread, so that results do not depend on how many
    run at once; on a GPU one follows the other.

    Parameters
    ----------
    name : for the progress.
    budget : its seeds replace those of the settings; in a quick look epochs are a tenth. Where it
        has a folder, networks are kept there and taken up again, by other experiments too.
    schedules : settings by name.
    data : what to train and test on.
    work : what to make of each.

    Returns
    -------
    Dataset with dimensions schedule and seed, and those that `work` gives.

    Raises
    ------
    ChildProcessError
        If a process was ended from outside.
    """
    code = provenance.configuration("", [], quick=False, deep=True)["code"]
    jobs: dict[tuple[str, int], _Job] = {}
    for label, settings in schedules.items():
        for seed in budget.seeds:
            job = replace(settings, seed=seed, epochs=budget.steps(settings.epochs))
            jobs[label, seed] = (job, _folder(budget, label, job, data, code))
    found: dict[tuple[str, int], xr.Dataset] = {}
    with track(f"{name}, runs" if budget.progress else None, len(jobs)) as advance:
        for key, dataset in _done(jobs, data, work, budget.threads):
            found[key] = dataset
            advance()
    by_schedule = [
        xr.concat([found[label, seed] for seed in budget.seeds], "seed") for label in schedules
    ]
    together = xr.concat(by_schedule, "schedule")
    return together.assign_coords(schedule=list(schedules), seed=budget.seeds)


def survived(trained: "Trained", settings: "Training", data: "Dataset") -> xr.Dataset:
    """Return what was measured; where a network has collapsed it has also diverged: no values."""
    results = trained.results
    ended = np.fmin(results.diverged_at, results.collapsed_at)
    alive = ~(results.step >= ended)
    measured = [v for v in results.data_vars if "step" in results[v].dims and v != "step_size"]
    masked = {v: results[v].where(alive).assign_attrs(results[v].attrs) for v in measured}
    return results.assign({**masked, "diverged_at": ended.assign_attrs(results.diverged_at.attrs)})


def _done(
    jobs: Mapping[tuple[str, int], _Job], data: "Dataset", work: Work, threads: int | None
) -> Iterator[tuple[tuple[str, int], xr.Dataset]]:
    import torch

    if torch.cuda.is_available():
        for key, job in jobs.items():
            yield key, _run(*job, data, work)
        return
    with process_pool(min(len(jobs), threads or os.cpu_count() or 1)) as pool:
        # Tensors would be sent as shared memory, of which a container has little.
        packed = pickle.dumps(data)
        alone = {key: (*job, packed, work) for key, job in jobs.items()}
        yield from run(_run_alone, alone, pool)


def _run_alone(job: "Training", folder: Path | None, data: bytes, work: Work) -> xr.Dataset:
    import torch

    torch.set_num_threads(1)
    return _run(job, folder, pickle.loads(data), work)


def _run(job: "Training", folder: Path | None, data: "Dataset", work: Work) -> xr.Dataset:
    from largestep.deep.training import train

    return work(train(job, data, out=folder, resume=folder is not None), job, data)


def _folder(budget: Budget, label: str, job: "Training", data: "Dataset", code: str) -> Path | None:
    """Return where a run is kept: runs of other settings, or by other code, have other folders."""
    if budget.folder is None:
        return None
    described = f"{job!r} {data.name} {len(data.x_train)} {code}"
    digest = hashlib.sha256(described.encode()).hexdigest()[:8]
    readable = "-".join(f"{job.model} {data.name} {label} {job.seed} {digest}".split())
    return budget.folder / readable
