"""Run a dynamics over schedules × seeds, in parallel, into one dataset."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial
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
from largestep.networks.base import Network, aligned
from largestep.problems import Problem
from largestep.schedules import Schedule, as_schedule, constant

__all__ = ["record_grid", "simulate"]

RESIDUAL_BOUND = 1e6
"""A trajectory that meets a residual beyond this has diverged."""

# Indices and noise are drawn this many at a time, whatever the number of steps.
_CHUNK = 1 << 16

# The step sizes of so many steps are kept from one seed to the next.
_KEPT = 1 << 18

# What trajectories that are followed together may take while they are measured.
_BLOCK_BYTES = 1 << 22

_INITIAL, _ORDER, _NOISE = range(3)
"""What a seed has streams for."""


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
    network.rehearse(simulation.start(0), problem.x_train[0])
    total = len(labelled) * len(seeds)
    dims = {m.name: ("schedule", "seed", "step", *m.dims) for m in chosen}
    dims |= {"step_size": ("schedule", "seed", "step"), "diverged_at": ("schedule", "seed")}
    gathered = _Gathered(simulation, total, list(dims))
    processors: set[str] = set()
    # Beside what is returned, threads hold no more than what is measured together.
    most = simulation.together if executor is None else None
    with executor_or_threads(executor, threads) as pool:
        for done in run(_simulate, simulation, range(total), pool, most=most, progress=progress):
            gathered.take(done.items[0], done.result)
            processors.add(done.processor)
    variables: dict[str, Any] = {}
    for name, values in gathered.whole().items():
        shape = (len(labelled), len(seeds), *values.shape[1:])
        variables[name] = (dims[name], values.reshape(shape))
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
        return aligned(self.problem.x_train), aligned(self.problem.y_train)

    @property
    def labels(self) -> list[str]:
        """The schedules' labels, in order."""
        return list(self.schedules)

    @property
    def names(self) -> list[str]:
        """The variables' names."""
        return ["step_size", "diverged_at", *(measure.name for measure in self.measures)]

    def start(self, number: int) -> np.ndarray:
        """Return the parameters that a seed starts from, as an array of its own."""
        if self.starts is not None:
            return aligned(self.starts[number])
        given = self.network.initialize(_stream(self.seeds[number], _INITIAL))
        name = f"what {type(self.network).__name__}.initialize returns"
        return aligned(_checks.view(name, given, shape=(self.network.parameters,)))

    @cached_property
    def together(self) -> int:
        """How many trajectories are followed before they are measured together.

        As many as some megabytes hold: of what is recorded, what is predicted of it is kept too.
        """
        points = max(self.network.parameters, len(self.problem.test_inputs), self.problem.n)
        return int(np.clip(_BLOCK_BYTES // (8 * points * len(self.recorded)), 1, 256))

    def block(self, numbers: Sequence[int]) -> dict[str, np.ndarray | None]:
        """Follow trajectories, numbered seed by seed within schedule by schedule.

        Returns
        -------
        Their variables, one after the other; None for those of unknown shape.
        """
        x, y = self.examples
        records = len(self.recorded)
        thetas = np.empty((len(numbers), records, self.network.parameters))
        step_sizes = np.full((len(numbers), records), np.nan)
        reached = np.empty(len(numbers), np.int64)
        diverged_at = np.full(len(numbers), np.nan)
        for row, number in enumerate(numbers):
            label, seed = divmod(number, len(self.seeds))
            trajectory, theta = self._begun(seed)
            reached[row], completed = self._follow(
                trajectory,
                theta,
                self._pieces(self.labels[label]),
                thetas[row],
                step_sizes[row],
            )
            if completed < self.steps:
                diverged_at[row] = completed
        usable = self._usable(thetas, reached, x, y)
        found: dict[str, np.ndarray | None] = {"step_size": step_sizes, "diverged_at": diverged_at}
        for measure in self.measures:
            found[measure.name] = self._measured_block(measure, thetas, usable)
        return found

    def _begun(self, number: int) -> tuple[Trajectory, np.ndarray]:
        """Return a seed's trajectory at its start, and the parameters there."""
        seed = self.seeds[number]
        x, y = self.examples
        replay = None if self.order is None else self.order[min(number, len(self.order) - 1)]
        order = _drawn(seed, len(x)) if replay is None else _replayed(replay)
        noise = partial(_stream, seed, _NOISE)
        trajectory = Trajectory(self.network, self.problem.loss, x, y, order, noise, self.bound)
        return trajectory, self.start(number)

    def _usable(
        self, thetas: np.ndarray, reached: np.ndarray, x: np.ndarray, y: np.ndarray
    ) -> np.ndarray:
        """Return how many records of each trajectory come before a residual beyond the bound."""
        usable = np.empty(len(thetas), np.int64)
        # An example that wasn't visited may be beyond the bound before one that was.
        with np.errstate(over="ignore", invalid="ignore"):
            for rows, stack in self._stacks(thetas, reached):
                beyond = np.abs(self.network.predict(stack, x) - y).max(axis=-1, initial=0.0)
                kept = np.atleast_2d(beyond <= self.bound)
                ended = np.zeros((len(kept), 1), dtype=bool)
                usable[rows] = np.argmin(np.append(kept, ended, axis=1), axis=1)
        return usable

    def _stacks(
        self, thetas: np.ndarray, lengths: np.ndarray
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield rows of a block and the records of each that count, whole rows together.

        A stack of whole rows has one dimension more; only the library's own functions are given
        such.
        """
        whole = lengths == thetas.shape[1]
        if not (_own(self.network, "predict") and _own(self.problem.loss, "value")):
            whole[:] = False
        if whole.any():
            rows = np.flatnonzero(whole).tolist()
            yield rows, thetas if whole.all() else thetas[whole]
        for row in np.flatnonzero(~whole).tolist():
            yield [row], thetas[row, : lengths[row]]

    @property
    def _chunk(self) -> int:
        return max(1, _CHUNK // self.dynamics.batch(self.problem.n))

    def _pieces(self, label: str) -> "Iterable[_Piece]":
        """Return the steps of a schedule a chunk at a time, with what is recorded in each."""
        if self.recorded[-1] > _KEPT:
            return self._cut(label)
        pieces = self._kept.get(label)
        if pieces is None:
            pieces = list(self._cut(label))
            # Trajectories come schedule by schedule: no other's seeds are still to come.
            self._kept.clear()
            self._kept[label] = pieces
        return pieces

    @cached_property
    def _kept(self) -> "dict[str, list[_Piece]]":
        return {}

    def _cut(self, label: str) -> "Iterator[_Piece]":
        schedule = self.schedules[label]
        recorded, steps = self.recorded, self.steps
        done = 0
        while done < recorded[-1]:
            wanted = min(self._chunk, int(recorded[-1]) - done)
            fractions = np.arange(done, done + wanted) / steps
            # A step at the seam of two stretches is marked in the first.
            first, last = np.searchsorted(recorded, [done + (done > 0), done + wanted + 1]).tolist()
            yield _Piece(fractions, schedule(fractions), first, last, recorded[first:last] - done)
            done += wanted
        if done == 0:
            yield _Piece(np.empty(0), schedule(0.0), 0, 1, np.zeros(1, np.int64))

    def _follow(
        self,
        trajectory: Trajectory,
        theta: np.ndarray,
        pieces: "Iterable[_Piece]",
        thetas: np.ndarray,
        step_sizes: np.ndarray,
    ) -> tuple[int, int]:
        """Fill in theta and the step size at the recorded steps; return how many, and the steps."""
        advance = self.dynamics.start(trajectory)
        done = 0
        for piece in pieces:
            if stopped():
                raise InterruptedError("the simulation was stopped")
            wanted = len(piece.fractions)
            if wanted == 0:
                thetas[0], step_sizes[0] = theta, piece.step_sizes[0]
                break
            sizes = piece.step_sizes.copy()
            rows = slice(piece.first, piece.last)
            completed = advance(theta, Stretch(sizes, piece.marks, thetas[rows], piece.fractions))
            counted = int(np.searchsorted(piece.marks, completed, side="right"))
            steps_before = np.maximum(piece.marks[:counted] - 1, 0)
            step_sizes[piece.first : piece.first + counted] = sizes[steps_before]
            done += completed
            if completed < wanted:
                return piece.first + counted, done
        return len(thetas), self.steps

    def _measured_block(
        self, measure: Measure, thetas: np.ndarray, usable: np.ndarray
    ) -> np.ndarray | None:
        """Return a measure of every trajectory of a block, None if its shape is unknown."""
        full: np.ndarray | None = None
        for rows, stack in self._stacks(thetas, usable):
            found: Iterable[np.ndarray | None]
            if stack.ndim == 2:
                found = [self._measured(measure, stack)]
            elif measure.stacks:
                found = self._measured(measure, stack)
            else:
                found = (self._measured(measure, one) for one in stack)
            for row, values in zip(rows, found, strict=True):
                full = _placed(full, len(thetas), row, values, measure.name)
        return full

    def _measured(self, measure: Measure, thetas: np.ndarray) -> Any:
        """Return a measure of one trajectory's records, or of a stack of trajectories'."""
        records = len(self.recorded)
        taken = np.arange(0, records, measure.every)
        if taken[-1] < records - 1:
            taken = np.append(taken, records - 1)
        taken = taken[taken < thetas.shape[-2]]
        if len(taken) == 0:
            lengths = [len(measure.coords.get(name, ())) for name in measure.dims]
            return np.full((records, *lengths), np.nan) if all(lengths) else None
        chosen = thetas if len(taken) == thetas.shape[-2] else thetas[..., taken, :]
        values = measure.on(self.network, self.problem, chosen)
        if len(taken) == records:
            return values
        leading = thetas.shape[:-2]
        full = np.full((*leading, records, *values.shape[len(leading) + 1 :]), np.nan)
        full[(slice(None),) * len(leading) + (taken,)] = values
        return full


@dataclass(frozen=True)
class _Piece:
    """Steps of a schedule: fractions and sizes, and the records first to last at the marks."""

    fractions: np.ndarray
    step_sizes: np.ndarray
    first: int
    last: int
    marks: np.ndarray


class _Gathered:
    """The variables of all trajectories, filled in as blocks of them come."""

    def __init__(self, simulation: _Simulation, total: int, names: Sequence[str]) -> None:
        self._simulation, self._total = simulation, total
        self._arrays: dict[str, np.ndarray | None] = dict.fromkeys(names)

    def take(self, start: int, block: Mapping[str, np.ndarray | None]) -> None:
        """Fill in a block's variables."""
        for name, values in block.items():
            for row, one in enumerate(() if values is None else values):
                placed = _placed(self._arrays[name], self._total, start + row, one, name)
                self._arrays[name] = placed

    def found(self) -> dict[str, np.ndarray | None]:
        """Return the variables as they are known."""
        return self._arrays

    def whole(self) -> dict[str, np.ndarray]:
        """Return the variables, NaN where there are none."""
        simulation = self._simulation
        for name, values in self._arrays.items():
            if values is None:
                measure = next(m for m in simulation.measures if m.name == name)
                theta = simulation.start(0)
                with np.errstate(all="ignore"):
                    measured = measure.on(simulation.network, simulation.problem, theta[np.newaxis])
                shape = (self._total, len(simulation.recorded), *measured.shape[1:])
                self._arrays[name] = np.full(shape, np.nan)
        return {name: values for name, values in self._arrays.items() if values is not None}


def _placed(
    array: np.ndarray | None, total: int, row: int, values: np.ndarray | None, name: str
) -> np.ndarray | None:
    """Put a trajectory's values where they belong, into an array that is made for the first.

    Raises
    ------
    ValueError
        If a measure has returned other shapes for one trajectory than for another.
    """
    if values is None:
        return array
    if array is None:
        array = np.full((total, *values.shape), np.nan)
    if array.shape[1:] != values.shape:
        shapes = sorted([array.shape[2:], values.shape[1:]])
        raise ValueError(
            f"the measure {name!r} must return arrays of one shape for all trajectories, got "
            f"{shapes} for a theta"
        )
    array[row] = values
    return array


def _own(value: object, method: str) -> bool:
    """Return whether a method is the library's, which takes stacks of any dimensions."""
    return str(getattr(type(value), method).__module__).startswith("largestep.")


def _simulate(simulation: _Simulation, numbers: Sequence[int]) -> dict[str, np.ndarray | None]:
    size = simulation.together
    with single_blas_thread():
        if len(numbers) <= size:
            return simulation.block(numbers)
        gathered = _Gathered(simulation, len(numbers), [*simulation.names])
        for start in range(0, len(numbers), size):
            gathered.take(start, simulation.block(numbers[start : start + size]))
        return gathered.found()


def _stream(seed: int, purpose: int) -> np.random.Generator:
    """Return one of a seed's streams: of the initial parameters, of the order, of the noise."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose,)))


def _drawn(seed: int, n: int) -> Callable[[int, int], np.ndarray]:
    rng: np.random.Generator | None = None

    def examples(steps: int, batch: int) -> np.ndarray:
        nonlocal rng
        rng = rng or _stream(seed, _ORDER)
        return rng.integers(0, n, size=(steps, batch))

    return examples


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
        schedule = as_schedule(schedules, "schedules")
        return {repr(schedule): schedule}
    if not schedules:
        raise ValueError("schedules must name at least one schedule, got none")
    labels = [str(label) for label in schedules]
    if len(set(labels)) < len(labels):
        raise ValueError(f"schedules must have labels that differ as text, got {labels}")
    given = (as_schedule(value, f"schedules[{label!r}]") for label, value in schedules.items())
    return dict(zip(labels, given, strict=True))


def _check_kinds(network: Network, problem: Problem, dynamics: Dynamics) -> None:
    _checks.kind("network", network, Network)
    _checks.kind("problem", problem, Problem)
    _checks.kind("dynamics", dynamics, Dynamics)
    _checks.integer("the network's inputs", network.inputs, at_least=1)
    _checks.integer("the network's parameters", network.parameters, at_least=1)
    problem.loss.check_function()
    if network.inputs != problem.d:
        raise ValueError(
            f"network must take as many inputs as the problem has, {problem.d}, "
            f"got {network.inputs}"
        )


def _check_record(record: Sequence[int] | np.ndarray, steps: int) -> np.ndarray:
    recorded = _checks.integers("record", record)
    if recorded.ndim != 1 or recorded.size == 0:
        raise ValueError(f"record must be a list of one or more integer steps, got {record!r}")
    if recorded[0] < 0 or recorded[-1] > steps or (np.diff(recorded) <= 0).any():
        raise ValueError(f"record must increase within [0, {steps}], got {record!r}")
    return recorded


def _check_order(
    order: np.ndarray, problem: Problem, dynamics: Dynamics, steps: int, seeds: list[int]
) -> np.ndarray:
    if not dynamics.takes_order:
        raise ValueError(f"order must be left out: {dynamics!r} visits every example")
    order = _checks.integers("order", order)
    batch = dynamics.batch(problem.n)
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
    return full


def _check_initial(initial: np.ndarray, network: Network, seeds: list[int]) -> np.ndarray:
    given = _checks.view("initial", initial, shape=(...,))
    shapes = ((network.parameters,), (len(seeds), network.parameters))
    if given.shape not in shapes:
        raise ValueError(f"initial must have shape {shapes[0]} or {shapes[1]}, got {given.shape}")
    starts = _checks.array("initial", given, dimensions=given.ndim)
    return np.broadcast_to(starts, shapes[1])
