"""Training runs of deep networks side by side: seeds × schedules, each taken up after a kill."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from largestep import runs
from largestep.experiments.base import Budget
from largestep.progress import track

if TYPE_CHECKING:
    from largestep.deep.data import Dataset
    from largestep.deep.training import Training

__all__ = ["run_folder", "train_all"]


def train_all(
    name: str, budget: Budget, settings: "Mapping[str, Training]", data: "Dataset"
) -> xr.Dataset:
    """Train under every schedule with every seed, and put what was measured together.

    On the CPU a process trains a network on one thread, so that results do not depend on how many
    run at once; on a GPU one follows the other.

    Parameters
    ----------
    name : for the progress.
    budget : its seeds replace those of the settings; in a quick look epochs are a tenth. Where it
        has a folder, runs are kept in it and taken up again.
    settings : by the name of the schedule.
    data : what to train and test on.

    Returns
    -------
    Dataset with dimensions schedule, seed, step and layer. A run that has collapsed has also
    diverged, and from then on has no values.
    """
    import torch

    jobs = {
        (label, seed): replace(chosen, seed=seed, epochs=budget.steps(chosen.epochs))
        for label, chosen in settings.items()
        for seed in budget.seeds
    }
    folders = {key: run_folder(budget, *key, job) for key, job in jobs.items()}
    found: dict[tuple[str, int], xr.Dataset] = {}
    with track(f"{name}, runs" if budget.progress else None, len(jobs)) as advance:
        if torch.cuda.is_available():
            for key, job in jobs.items():
                found[key] = _train(job, data, folders[key], 0)
                advance()
        else:
            workers = min(len(jobs), budget.threads or os.cpu_count() or 1)
            with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
                try:
                    waiting = {
                        pool.submit(_train, job, data, folders[key], 1): key
                        for key, job in jobs.items()
                    }
                    for done in as_completed(waiting):
                        found[waiting[done]] = done.result()
                        advance()
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
    return xr.concat(
        [
            xr.concat([_survived(found[label, seed]) for seed in budget.seeds], "seed")
            for label in settings
        ],
        "schedule",
    ).assign_coords(schedule=list(settings), seed=budget.seeds)


def run_folder(budget: Budget, label: str, seed: int, job: "Training") -> Path | None:
    """Return where a run is kept: runs of other settings, or by other code, have other folders."""
    if budget.folder is None:
        return None
    code = runs.configuration("", budget.seeds, budget.quick)["code"]
    digest = hashlib.sha256(f"{job!r} {code}".encode()).hexdigest()[:8]
    readable = "".join(c if c.isalnum() else "-" for c in label)
    return budget.folder / "runs" / f"{readable}-{seed}-{digest}"


def _train(job: "Training", data: "Dataset", folder: Path | None, threads: int) -> xr.Dataset:
    import torch

    from largestep.deep.training import train

    if threads:
        torch.set_num_threads(threads)
    return train(job, data, out=folder, resume=folder is not None).results


def _survived(results: xr.Dataset) -> xr.Dataset:
    ended = np.fmin(results.diverged_at, results.collapsed_at)
    kept = {"diverged_at", "collapsed_at", "step_size"}
    measured = [v for v in results.data_vars if v not in kept]
    alive = ~(results.step >= ended)
    masked = {v: results[v].where(alive).assign_attrs(results[v].attrs) for v in measured}
    return results.assign(masked, diverged_at=ended.assign_attrs(results.diverged_at.attrs))
