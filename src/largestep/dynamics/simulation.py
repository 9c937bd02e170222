"""Run a dynamics over schedules × seeds, in parallel, into one dataset."""

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

import largestep
from largestep import _checks, measures
from largestep._progress import track
from largestep.dynamics.base import Dynamics, Stretch, Trajectory
from largestep.dynamics.sgd import SGD
from largestep.measures import Measure
from largestep.networks import Network
from largestep.problems import Problem
from largestep.schedules import Schedule, as_schedule, constant

__all__ = ["record_grid", "simulate"]

RESIDUAL_BOUND = 1e6
"""A trajectory that meets a residual beyond this has diverged."""

# Indices and noise are drawn this many at a time, whatever the number of steps.
_CHUNK = 1 << 16


def simulate(
    network: Network,
    problem: Problem,
    dynamics: Dynamics | None = None,
    schedules: Mapping[str, Schedule | float] | Schedule | float | None = None,
    *,
    steps: int,
    seeds: int | Iterable[int] = 0,
    measure: Sequence[str | Measure] = ("train_loss", "test_loss"),
    record: Sequence[int] | np.ndarray | None = None,
    order: np.ndarray | None = None,
    initial: np.ndarray | None = None,
    residual_bound: float = RESIDUAL_BOUND,
    threads: int | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Simulate every schedule with every seed.

    A seed fixes a trajectory bit for bit on a machine, whatever the number of threads: it gives
    one stream for the initial parameters, one for the order of the examples and one for the
    noise. The same seed has the same streams under every schedule (common random numbers).

    Parameters
    ----------
    network : what is trained.
    problem : the data it is trained and tested on.
    dynamics : how it is trained; SGD with batch size 1 by default.
    schedules : {label: schedule}, or one schedule or step size, whose label is its description;
        left out for a dynamics that controls its own step size, as `HoldLoss` does.
    steps : number of steps of each trajectory.
    seeds : distinct integers.
    measure : what to record: names, or the `Measure`s of `largestep.measures`.
    record : increasing steps in [0, steps] at which to record the state *after* so many steps;
        by default the first hundred, then about 250 points, half geometric and half linear.
        Nothing is simulated beyond the last.
    order : example indices to visit, of shape (steps, batch) or (seeds, steps, batch), in place
        of random ones: replays a trajectory exactly.
    initial : parameters to start from, of shape (p,) or (seeds, p), in place of the network's
        initialisation.
    residual_bound : a trajectory that meets a residual beyond it, or one that is not finite, has
        diverged and stops.
    threads : trajectories run at once; all cores by default.
    progress : a description shows progress on standard error; None is silent.

    Returns
    -------
    Dataset with dimensions (schedule, seed, step) and, beside the measures,
    `step_size` of the last step taken (at step 0: of the first), and
    `diverged_at`, the number of steps completed before the divergence, NaN without one.
    Measures are NaN from the divergence on, and from the first recorded step at which any
    training residual lies beyond `residual_bound`. Attributes hold the configuration as JSON.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what is said above; nothing has been computed then.
    """
    dynamics = SGD() if dynamics is None else dynamics
    _check_kinds(network, problem, dynamics)
    steps = _checks.integer("steps", steps, at_least=1)
    seeds = _checks.seeds(seeds)
    residual_bound = _checks.number("residual_bound", residual_bound, above=0.0)
    cores = os.cpu_count() or 1
    threads = _checks.integer("threads", cores if threads is None else threads, at_least=1)
    chosen = measures.named(measure)
    labelled = _labelled(schedules, dynamics)
    recorded = record_grid(steps) if record is None else _check_record(record, steps)
    given_order = None if order is None else _check_order(order, problem, dynamics, steps, seeds)
    starts = None if initial is None else _check_initial(initial, network, seeds)

    x, y = np.array(problem.x_train), np.array(problem.y_train)
    stop = threading.Event()

    def run(label: str, number: int) -> dict[str, np.ndarray]:
        streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seeds[number]).spawn(3)]
        theta = network.initialize(streams[0]) if starts is None else starts[number].copy()
        replay = None if given_order is None else given_order[min(number, len(given_order) - 1)]
        examples = _drawn(streams[1], len(x)) if replay is None else _replayed(replay)
        trajectory = Trajectory(network, x, y, examples, streams[2], residual_bound)
        thetas, step_sizes, completed = _follow(
            trajectory, dynamics, theta, labelled[label], steps, recorded, stop
        )
        # An example that wasn't visited may be beyond the bound before one that was.
        with np.errstate(over="ignore", invalid="ignore"):
            beyond = np.abs(network.predict(thetas, x) - y).max(axis=-1, initial=0.0)
        usable = int(np.argmin(np.append(beyond <= residual_bound, False)))
        return {
            "step_size": step_sizes,
            "diverged_at": np.array(np.nan if completed == steps else completed),
            **_measure(chosen, network, problem, thetas[:usable], len(recorded)),
        }

    jobs = [(label, number) for label in labelled for number in range(len(seeds))]
    # One BLAS thread per trajectory: more would compete, and change the order of sums.
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(threads) as pool,
        track(progress, len(jobs)) as advance,
    ):
        try:
            futures = [pool.submit(run, *job) for job in jobs]
            for future in as_completed(futures):
                future.result()
                advance()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise

    shape = (len(labelled), len(seeds))
    results = [future.result() for future in futures]
    dims = {m.name: ("schedule", "seed", "step", *m.dims) for m in chosen}
    dims |= {"step_size": ("schedule", "seed", "step"), "diverged_at": ("schedule", "seed")}
    variables: dict[str, Any] = {}
    for name in dims:
        stacked = np.stack([result[name] for result in results])
        variables[name] = (dims[name], stacked.reshape(*shape, *stacked.shape[1:]))
    dataset = xr.Dataset(
        variables,
        coords={
            "schedule": list(labelled),
            "seed": seeds,
            "step": recorded,
            **{name: values for m in chosen for name, values in m.coords.items()},
        },
        attrs={
            "network": repr(network),
            "problem": repr(problem),
            "dynamics": repr(dynamics),
            "schedules": json.dumps({k: repr(v) for k, v in labelled.items()}, ensure_ascii=False),
            "steps": steps,
            "residual_bound": residual_bound,
            "largestep": largestep.__version__,
        },
    )
    long_names = {m.name: m.long_name for m in chosen} | {
        "step_size": "step size η",
        "diverged_at": "steps completed before the divergence",
        "step": "steps completed",
    }
    for name, long_name in long_names.items():
        units = "steps" if name in ("step", "diverged_at") else "1"
        dataset[name].attrs.update(long_name=long_name, units=units)
    return dataset


def record_grid(steps: int, *, dense: int = 100, geometric: int = 125, linear: int = 125) -> Any:
    """Return the default steps to record: the first ones densely, then geometric and linear."""
    start = min(dense, steps)
    return np.unique(
        np.concatenate(
            [
                np.arange(start + 1),
                np.geomspace(max(start, 1), steps, geometric).round().astype(np.int64),
                np.linspace(start, steps, linear + 1).round().astype(np.int64),
            ]
        )
    )


def _follow(
    trajectory: Trajectory,
    dynamics: Dynamics,
    theta: np.ndarray,
    schedule: Schedule,
    steps: int,
    recorded: np.ndarray,
    stop: threading.Event,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return theta at the recorded steps reached, the step sizes there, and the steps completed."""
    advance = dynamics.start(trajectory)
    chunk = max(1, _CHUNK // dynamics.batch(trajectory.n))
    thetas = np.empty((len(recorded), len(theta)))
    step_sizes = np.full(len(recorded), np.nan)
    done = 0
    if recorded[-1] == 0:
        thetas[0], step_sizes[0] = theta, schedule(0.0)[0]
    while done < recorded[-1]:
        if stop.is_set():
            raise InterruptedError("the simulation was stopped")
        wanted = min(chunk, int(recorded[-1]) - done)
        fractions = np.arange(done, done + wanted) / steps
        sizes = schedule(fractions)
        # A step at the seam of two stretches is marked in the first.
        first, last = np.searchsorted(recorded, [done + (done > 0), done + wanted + 1])
        marks = recorded[first:last] - done
        completed = advance(theta, Stretch(sizes, marks, thetas[first:last], fractions))
        reached = first + int(np.searchsorted(marks, completed, side="right"))
        step_sizes[first:reached] = sizes[np.maximum(marks[: reached - first] - 1, 0)]
        done += completed
        if completed < wanted:
            return thetas[:reached], step_sizes, done
    return thetas, step_sizes, steps


def _measure(
    chosen: list[Measure],
    network: Network,
    problem: Problem,
    thetas: np.ndarray,
    records: int,
) -> dict[str, np.ndarray]:
    result = {}
    for measure in chosen:
        taken = np.unique(np.r_[0 : records : measure.every, records - 1])
        taken = taken[taken < len(thetas)]
        values = np.asarray(measure.function(network, problem, thetas[taken]), dtype=np.float64)
        if values.shape[:1] != taken.shape:
            raise ValueError(
                f"the measure {measure.name!r} must return one value, or one array, for each of "
                f"{len(taken)} thetas, got shape {values.shape}"
            )
        full = np.full((records, *values.shape[1:]), np.nan)
        full[taken] = values
        result[measure.name] = full
    return result


def _drawn(rng: np.random.Generator, n: int) -> Callable[[int, int], np.ndarray]:
    return lambda steps, batch: rng.integers(0, n, size=(steps, batch))


def _replayed(order: np.ndarray) -> Callable[[int, int], np.ndarray]:
    position = 0

    def examples(steps: int, batch: int) -> np.ndarray:
        nonlocal position
        position += steps
        return np.ascontiguousarray(order[position - steps : position])

    return examples


def _labelled(
    schedules: Mapping[str, Schedule | float] | Schedule | float | None, dynamics: Dynamics
) -> dict[str, Schedule]:
    if dynamics.controls_step_size:
        if schedules is not None:
            raise ValueError(
                f"schedules must be left out: {type(dynamics).__name__} controls its step size"
            )
        return {repr(dynamics): constant(0.0)}
    if schedules is None:
        raise ValueError("schedules must be given: a step size, a schedule or several by label")
    if not isinstance(schedules, Mapping):
        schedule = as_schedule(schedules)
        return {repr(schedule): schedule}
    if not schedules:
        raise ValueError("schedules must name at least one schedule, got none")
    labels = [str(label) for label in schedules]
    if len(set(labels)) < len(labels):
        raise ValueError(f"schedules must have labels that differ as text, got {labels}")
    return dict(zip(labels, map(as_schedule, schedules.values()), strict=True))


def _check_kinds(network: Network, problem: Problem, dynamics: Dynamics) -> None:
    for name, value, kind in (
        ("network", network, Network),
        ("problem", problem, Problem),
        ("dynamics", dynamics, Dynamics),
    ):
        if not isinstance(value, kind):
            hint = "; it is a class: call it" if isinstance(value, type) else ""
            raise TypeError(f"{name} must be a {kind.__name__}, got {value!r}{hint}")
    if network.inputs != problem.d:
        raise ValueError(
            f"network must take as many inputs as the problem has, {problem.d}, "
            f"got {network.inputs}"
        )


def _check_record(record: Sequence[int] | np.ndarray, steps: int) -> np.ndarray:
    recorded = np.asarray(record)
    if recorded.ndim != 1 or recorded.size == 0 or recorded.dtype.kind not in "iu":
        raise ValueError(f"record must be a list of one or more integer steps, got {record!r}")
    recorded = recorded.astype(np.int64)
    if recorded[0] < 0 or recorded[-1] > steps or (np.diff(recorded) <= 0).any():
        raise ValueError(f"record must increase within [0, {steps}], got {record!r}")
    return recorded


def _check_order(
    order: np.ndarray, problem: Problem, dynamics: Dynamics, steps: int, seeds: list[int]
) -> np.ndarray:
    if not dynamics.takes_order:
        raise ValueError(f"order must be left out: {dynamics!r} visits every example")
    order = np.asarray(order)
    batch = dynamics.batch(problem.n)
    if order.dtype.kind not in "iu":
        raise TypeError(f"order must hold integer example indices, got dtype {order.dtype}")
    full = order[np.newaxis] if order.ndim == 2 else order
    if full.shape not in ((1, steps, batch), (len(seeds), steps, batch)):
        raise ValueError(
            f"order must have shape {(steps, batch)} or {(len(seeds), steps, batch)}, "
            f"got {order.shape}"
        )
    outside = (full < 0) | (full >= problem.n)
    if outside.any():
        raise ValueError(
            f"order must hold indices from 0 to {problem.n - 1}, got {full[outside][0]}"
        )
    return full.astype(np.int64)


def _check_initial(initial: np.ndarray, network: Network, seeds: list[int]) -> np.ndarray:
    given = np.asarray(initial)
    shapes = ((network.parameters,), (len(seeds), network.parameters))
    if given.shape not in shapes:
        raise ValueError(f"initial must have shape {shapes[0]} or {shapes[1]}, got {given.shape}")
    starts = _checks.array("initial", given, dimensions=given.ndim)
    return np.broadcast_to(starts, shapes[1])
