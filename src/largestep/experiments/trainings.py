"""Training runs of deep networks side by side: schedules × seeds, each taken up after a kill."""

import json
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from largestep import _files, provenance, store
from largestep._progress import track
from largestep.experiments.budget import Budget
from largestep.jobs.base import run
from largestep.jobs.dask import DaskExecutor
from largestep.jobs.processes import process_pool

if TYPE_CHECKING:
    from largestep.deep.data import Examples
    from largestep.deep.training import Trained, Training

__all__ = ["made_by", "run_all", "survived", "unneeded"]

Work = Callable[["Trained", "Training", Any], xr.Dataset]
"""Makes a dataset of a trained network, its settings and its data; a module's own function."""

_Job = tuple["Training", Path | None]


def run_all(
    name: str,
    budget: Budget,
    schedules: "Mapping[str, Training]",
    data: "Examples",
    work: Work,
) -> xr.Dataset:
    """Train under every schedule with every seed, and put together what is made of the networks.

    On the CPU a process trains a network on one thread, so that results do not depend on how many
    run at once; on a GPU one follows the other. On a Dask cluster whose workers have the resource
    GPU, each trains one at a time.

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
    ValueError
        If workers of a cluster have several threads, and no GPU.
    """
    identity = data.digest()
    jobs: dict[tuple[str, int], _Job] = {}
    for label, settings in schedules.items():
        for seed in budget.seeds:
            job = replace(settings, seed=seed, epochs=budget.steps(settings.epochs))
            folder = _folder(budget, label, job, data.name, identity)
            jobs[label, seed] = (job, folder)
    found: dict[tuple[str, int], xr.Dataset] = {}
    processors: set[str] = set()
    for key, made, processor in _done(jobs, data, work, budget, budget.described(f"{name}, runs")):
        found[key] = made
        processors.add(processor)
    by_schedule = [
        xr.concat([found[label, seed] for seed in budget.seeds], "seed") for label in schedules
    ]
    together = xr.concat(by_schedule, "schedule")
    kept = [folder.name for _, folder in jobs.values() if folder is not None]
    return together.assign_coords(schedule=list(schedules), seed=budget.seeds).assign_attrs(
        runs=json.dumps(kept), processors=json.dumps(sorted(processors))
    )


def survived(trained: "Trained", settings: "Training", data: "Examples") -> xr.Dataset:
    """Return what was measured; where a network has collapsed it has also diverged: no values."""
    results = trained.results
    ended = np.fmin(results.diverged_at, results.collapsed_at)
    alive = ~(results.step >= ended)
    measured = [v for v in results.data_vars if "step" in results[v].dims and v != "step_size"]
    masked = {v: results[v].where(alive).assign_attrs(results[v].attrs) for v in measured}
    return results.assign({**masked, "diverged_at": ended.assign_attrs(results.diverged_at.attrs)})


def _done(
    jobs: Mapping[tuple[str, int], _Job],
    data: "Examples",
    work: Work,
    budget: Budget,
    progress: str | None,
) -> Iterator[tuple[tuple[str, int], xr.Dataset, str]]:
    import torch

    if budget.executor is not None:
        yield from _done_elsewhere(jobs, data, work, budget.executor, progress)
        return
    if torch.cuda.is_available():
        with track(progress, len(jobs)) as advance:
            for key, job in jobs.items():
                yield key, _run(*job, data, work), provenance.processor()
                advance()
        return
    with process_pool(min(len(jobs), budget.threads or os.cpu_count() or 1)) as pool:
        # Tensors would be sent as shared memory, of which a container has little.
        shared = (pickle.dumps(data), work)
        for done in run(_run_alone, shared, list(jobs.items()), pool, seconds=0, progress=progress):
            ((key, _),) = done.items
            yield key, done.result, done.processor


def _done_elsewhere(
    jobs: Mapping[tuple[str, int], _Job],
    data: "Examples",
    work: Work,
    executor: Executor,
    progress: str | None,
) -> Iterator[tuple[tuple[str, int], xr.Dataset, str]]:
    """Train where there may be no disk of ours: what a run's folder holds goes there and back."""
    waiting = []
    for key, (job, folder) in jobs.items():
        if folder is not None and (folder / "results.nc").exists():
            yield key, _run(job, folder, data, work), provenance.processor()
        else:
            waiting.append((key, (job, None), _content(folder)))
    trainer = executor.training() if isinstance(executor, DaskExecutor) else executor
    shared = (pickle.dumps(data), work)
    for done in run(_run_elsewhere, shared, waiting, trainer, seconds=0, progress=progress):
        ((key, _, _),), (made, content) = done.items, done.result
        _write(jobs[key][1], content)
        yield key, made, done.processor


def _run_alone(
    shared: tuple[bytes, Work], jobs: Sequence[tuple[tuple[str, int], _Job]]
) -> xr.Dataset:
    import torch

    torch.set_num_threads(1)
    ((_, (job, folder)),) = jobs
    data, work = shared
    return _run(job, folder, pickle.loads(data), work)


def _run_elsewhere(
    shared: tuple[bytes, Work],
    jobs: Sequence[tuple[tuple[str, int], _Job, Mapping[str, bytes]]],
) -> tuple[xr.Dataset, Mapping[str, bytes]]:
    """Train in a folder of this machine's; return what was made, and what the folder holds then."""
    ((key, (job, _), content),) = jobs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, content)
        made = _run_alone(shared, [(key, (job, folder))])
        return made, _content(folder)


def _content(folder: Path | None) -> dict[str, bytes]:
    if folder is None:
        return {}
    files = (path for path in folder.glob("[!.]*") if path.is_file())
    return {path.name: path.read_bytes() for path in files}


def _write(folder: Path | None, content: Mapping[str, bytes]) -> None:
    """Write files into a folder, last the one by which it counts as finished."""
    if folder is None:
        return
    for name in sorted(content, key=lambda name: name == "results.nc"):
        _files.atomically(folder / name, partial(Path.write_bytes, data=content[name]))


def _run(job: "Training", folder: Path | None, data: "Examples", work: Work) -> xr.Dataset:
    from largestep.deep.training import train

    return work(train(job, data, out=folder, resume=folder is not None), job, data)


def unneeded(out: Path) -> dict[Path, str]:
    """Return the runs that no stored result uses and no key needs any more, with the reasons.

    A run that was made by today's code and is not finished is kept: it would be taken up.

    Parameters
    ----------
    out : folder of results, with the runs in ``runs``.

    Raises
    ------
    OSError
        If there is no such folder.
    ValueError
        If a stored result can't be read, so that nobody knows what it uses.
    """
    if not out.is_dir():
        raise FileNotFoundError(f"there is no folder {out}")
    used: set[str] = set()
    for stored in sorted(out.glob("*/results.nc")):
        for node in store.load(stored)[0].subtree:
            used |= set(json.loads(node.attrs.get("runs", "[]")))
    found: dict[Path, str] = {}
    for folder in sorted((out / "runs").glob("*/")):
        if folder.name in used:
            continue
        try:
            stored = _files.read_json(folder / "made_by.json")
            same = stored == made_by(stored["model"])
        except (OSError, ValueError, KeyError, TypeError, ImportError):
            found[folder] = "nothing says by which code it was made"
            continue
        if not same:
            found[folder] = "it was made by other code, or with other versions"
        elif (folder / "results.nc").exists():
            found[folder] = "no stored result uses it"
    return found


def made_by(model: str) -> dict[str, Any]:
    """Return what stands for all code that decides what a training run of a model gives."""
    code = provenance.closure(
        ("largestep.deep.training", "train"), ("largestep.deep.models", model)
    )
    return {"model": model, "code": code.digest, "versions": dict(code.versions)}


def _folder(budget: Budget, label: str, job: "Training", data: str, identity: str) -> Path | None:
    """Return where a run is kept: of other settings, data, code or versions, it is elsewhere."""
    if budget.folder is None:
        return None
    maker = made_by(job.model)
    digest = provenance.fingerprint(vars(job), identity, maker)
    named = f"{job.model} {data.replace(':', ' ')} {label} {job.seed} {digest[:8]}"
    readable = "-".join(named.split())
    folder = _files.prepare_folder(budget.folder / readable)
    if not (folder / "made_by.json").exists():
        _files.write_json(folder / "made_by.json", maker, sealed=True)
    return folder
