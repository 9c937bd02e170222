"""What a cluster costs: `python -m benchmarks._cluster slots` and `… sweep`.

Apart from the other benchmarks, as they take minutes and mean something on an idle machine only.
"""

import argparse
import os
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import largestep as ls
from largestep.dynamics.sweep import sweep
from largestep.jobs.base import run
from largestep.jobs.dask import DaskExecutor, cluster

EACH = 0.05
"""Seconds that an item sleeps."""


def slots(processes: int, threads: int, minutes: float) -> None:
    """Say what the process that asks, with the scheduler in it, keeps up with.

    Workers that only sleep stand for a cluster that is larger than this machine. A block passes
    through the scheduler as on a real one; connections are fewer, as many slots share a process.
    """
    import distributed

    dask: Any = distributed
    number = processes * threads
    with (
        dask.LocalCluster(
            n_workers=processes,
            threads_per_worker=threads,
            host="127.0.0.1",
            dashboard_address=None,
        ) as local,
        dask.Client(local, set_as_default=False) as client,
    ):
        items = np.arange(int(number * minutes * 60 / EACH))
        blocks, cpu, started = 0, time.process_time(), time.perf_counter()
        marks: list[tuple[int, float, float, int]] = []
        done = 0
        for block in run(_sleep, EACH, items, DaskExecutor(client)):
            blocks, done = blocks + 1, done + len(block.items)
            # Steady are neither the first blocks, of one item, nor the last, which get shorter.
            if done > len(items) * (0.3, 0.8, np.inf)[len(marks)]:
                marks.append((blocks, time.process_time(), time.perf_counter(), done))
        between, used, wall, slept = (b - a for a, b in zip(*marks, strict=True))
        print(
            f"{number} slots: {between / wall:.1f} blocks/s of {EACH * slept / between:.1f} s, "
            f"{1e3 * used / between:.1f} ms of processor time each "
            f"({100 * used / wall:.0f} % of a core), slots busy "
            f"{100 * EACH * slept / (wall * number):.0f} %; "
            f"{time.perf_counter() - started:.0f} s in all, "
            f"{time.process_time() - cpu:.0f} s of processor time",
            flush=True,
        )


def _sleep(each: float, items: np.ndarray) -> None:
    time.sleep(each * len(items))


def trajectories(number: int, workers: int) -> None:
    """Compare a sweep on threads with one on as many workers, after their start."""
    axes: dict[str, Any] = {
        "x": {"step_size": np.linspace(0.05, 0.3, 50)},
        "y": {"decay_at": np.linspace(0.1, 0.9, 20)},
        "seeds": range(max(number // 1000, 1)),
        "steps": 2_000,
    }
    problem = partial(ls.problems.sparse_regression, n=80, d=200, nonzeros=20)
    network = ls.networks.DiagonalLinear(d=200)
    found, taken = {}, {}
    places: dict[str, AbstractContextManager[DaskExecutor | None]] = {
        "threads": nullcontext(),
        "workers": cluster(workers=workers),
    }
    for name, place in places.items():
        with place as executor, tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            threads = workers if executor is None else None
            found[name] = sweep(
                network, problem, **axes, out=Path(folder), threads=threads, executor=executor
            ).load()
            taken[name] = time.perf_counter() - started
    same = found["threads"].identical(found["workers"])
    more = 100 * (taken["workers"] / taken["threads"] - 1)
    print(
        f"{found['threads'].train_loss.size} trajectories: {taken['threads']:.1f} s on {workers} "
        f"threads, {taken['workers']:.1f} s on as many workers, {more:+.1f} %; "
        f"{'the same' if same else 'NOT the same'} bit for bit"
    )


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    of_slots = names.add_parser("slots", help=slots.__doc__)
    of_slots.add_argument("--processes", type=int, default=10)
    of_slots.add_argument("--threads", type=int, default=100, help="of each process")
    of_slots.add_argument("--minutes", type=float, default=1.0)
    of_sweep = names.add_parser("sweep", help=trajectories.__doc__)
    of_sweep.add_argument("--trajectories", type=int, default=100_000)
    of_sweep.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if options.name == "slots":
        slots(options.processes, options.threads, options.minutes)
    else:
        trajectories(options.trajectories, options.workers)


if __name__ == "__main__":
    main()
