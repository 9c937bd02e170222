"""Run a dynamics over schedules × seeds, in parallel, into one dataset."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from largestep import _checks
from largestep._version import __version__
from largestep.dynamics.base import Dynamics, Stretch, Trajectory
from largestep.dynamics.sgd import SGD
from largestep.jobs.base import run
from largestep.jobs.threads import executor_or_threads, single_blas_thread, stopped
from largestep.measures.base import Measure, named
from largestep.networks.base import Network
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
    executor: Executor | None = None,
    progress: str | None = None,
) -> xr.Dataset:
    """Simulate every schedule with every seed.

    A seed fixes a trajectory bit for bit on a machine, wherever it runs: it gives
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
    executor : where to run them, in place of threads of this process: any of
        `concurrent.futures`, Dask's `client.get_executor()` among them. For one of processes
        network, problem, dynamics, schedules and measures must be picklable, as all of the
        library's are, and their classes importable there.
    progress : a description shows progress on standard error; None is silent.

    Returns
    -------
    Dataset with dimensions (schedule, seed, step) and, beside the measures,
    `step_size` of the last step taken (at step 0: of the first), and
    `diverged_at`, the number of steps completed before the divergence, NaN without one.
    Measures are NaN from the divergence on, and from the first recorded step at which any
    training residual lies beyond `residual_bound`. Attributes hold the configuration as JSON,
    and the processors that computed: where they are of several kinds, last bits may differ.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what is said above (nothing has been computed then), or a measure
        returns another shape than it promises.
    """
    dynamics = SGD() if dynamics is None else dynamics
    _check_kinds(network, problem, dynamics)
    steps = _checks.integer("steps", steps, at_least=1)
    seeds = _checks.seeds(seeds)
    residual_bound = _checks.number("residual_bound", residual_bound, above=0.0)
    chosen = named(measure)
    labelled = _labelled(schedules, dynamics)
    recorded = record_grid(steps) if record is None else _check_record(record, steps)
    given_order = None if order is None else _check_order(order, problem, dynamics, steps, seeds)
    starts = None if initial is None else _check_initial(initial, network, seeds)

    simulation = _Simulation(
        network,
        problem,
        dynamics,
        labelled,
        steps,
        seeds,
        chosen,
        recorded,
        given_order,
        starts,
        residual_bound,
    )
    trajectories = [(label, number) for label in labelled for number in range(len(seeds))]
    found: dict[tuple[str, int], dict[str, np.ndarray | None]] = {}
    processors: set[str] = set()
    with executor_or_threads(executor, threads) as pool:
        for done in run(_simulate, simulation, trajectories, pool, progress=progress):
            found |= zip(done.items, done.result, strict=True)
            processors.add(done.processor)
    results = [found[trajectory] for trajectory in trajectories]
    shape = (len(labelled), len(seeds))
    dims = {m.name: ("schedule", "seed", "step", *m.dims) for m in chosen}
    dims |= {"step_size": ("schedule", "seed", "step"), "diverged_at": ("schedule", "seed")}
    variables: dict[str, Any] = {}
    for name in dims:
        stacked = np.stack(simulation.filled(name, [result[name] for result in results]))
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
            "largestep": __version__,
            "processors": json.dumps(sorted(processors)),
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


@dataclass(frozen=True)
class _Simulation:
    """All that its trajectories share, by value: it goes to wherever they run."""

    network: Network
    problem: Problem
    dynamics: Dynamics
    schedules: Mapping[str, Schedule]
    steps: int
    seeds: Sequence[int]
    measures: Sequence[Measure]
    recorded: np.ndarray
    order: np.ndarray | None
    starts: np.ndarray | None
    bound: float

    @cached_property
    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """The training points as the compiled loops take them: writeable."""
        return np.array(self.problem.x_train), np.array(self.problem.y_train)

    def start(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return the parameters that a seed starts from, as an array of its own."""
        given = self.network.initialize(rng) if self.starts is None else self.starts[number]
        return np.array(given, dtype=np.float64)

    def trajectory(self, label: str, number: int) -> dict[str, np.ndarray | None]:
        """Follow one schedule with one seed; return its variables, None for an unknown shape."""
        streams = _streams(self.seeds[number])
        x, y = self.examples
        replay = None if self.order is None else self.order[min(number, len(self.order) - 1)]
        trajectory = Trajectory(
            self.network,
            self.problem.loss,
            x,
            y,
            _drawn(streams[1], len(x)) if replay is None else _replayed(replay),
            streams[2],
            self.bound,
        )
        theta = self.start(number, streams[0])
        thetas, step_sizes, completed = self._follow(trajectory, theta, self.schedules[label])
        # An example that wasn't visited may be beyond the bound before one that was.
        with np.errstate(over="ignore", invalid="ignore"):
            beyond = np.abs(self.network.predict(thetas, x) - y).max(axis=-1, initial=0.0)
        usable = int(np.argmin(np.append(beyond <= self.bound, False)))
        return {
            "step_size": step_sizes,
            "diverged_at": np.array(np.nan if completed == self.steps else completed),
            **{measure.name: self._measured(measure, thetas[:usable]) for measure in self.measures},
        }

    def filled(self, name: str, values: Sequence[np.ndarray | None]) -> list[np.ndarray]:
        """Return a variable's values over trajectories, NaN in their shape where there are none.

        Raises
        ------
        ValueError
            If the measure has returned other shapes for one trajectory than for another.
        """
        shapes = {value.shape for value in values if value is not None}
        if not shapes:
            measure = next(measure for measure in self.measures if measure.name == name)
            theta = self.start(0, _streams(self.seeds[0])[0])
            with np.errstate(all="ignore"):
                measured = measure.on(self.network, self.problem, theta[np.newaxis])
            shapes = {(len(self.recorded), *measured.shape[1:])}
        if len(shapes) > 1:
            raise ValueError(
                f"the measure {name!r} must return arrays of one shape for all "
                f"trajectories, got {sorted(shape[1:] for shape in shapes)} for a theta"
            )
        (shape,) = shapes
        return [np.full(shape, np.nan) if value is None else value for value in values]

    def _follow(
        self, trajectory: Trajectory, theta: np.ndarray, schedule: Schedule
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Return theta at the recorded steps reached, the step sizes there, the steps completed."""
        recorded, steps = self.recorded, self.steps
        advance = self.dynamics.start(trajectory)
        chunk = max(1, _CHUNK // self.dynamics.batch(trajectory.n))
        thetas = np.empty((len(recorded), len(theta)))
        step_sizes = np.full(len(recorded), np.nan)
        done = 0
        if recorded[-1] == 0:
            thetas[0], step_sizes[0] = theta, schedule(0.0)[0]
        while done < recorded[-1]:
            if stopped():
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

    def _measured(self, measure: Measure, thetas: np.ndarray) -> np.ndarray | None:
        records = len(self.recorded)
        taken = np.unique(np.r_[0 : records : measure.every, records - 1])
        taken = taken[taken < len(thetas)]
        if len(taken) == 0:
            lengths = [len(measure.coords.get(name, ())) for name in measure.dims]
            return np.full((records, *lengths), np.nan) if all(lengths) else None
        values = measure.on(self.network, self.problem, thetas[taken])
        full = np.full((records, *values.shape[1:]), np.nan)
        full[taken] = values
        return full


def _simulate(
    simulation: _Simulation, trajectories: Sequence[tuple[str, int]]
) -> list[dict[str, np.ndarray | None]]:
    with single_blas_thread():
        return [simulation.trajectory(label, number) for label, number in trajectories]


def _streams(seed: int) -> list[np.random.Generator]:
    """Return a seed's streams: of the initial parameters, of the order, of the noise."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]


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
