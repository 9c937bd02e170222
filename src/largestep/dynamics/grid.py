"""A grid of settings, by seeds: which trajectories it has, and how they end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import xarray as xr

from largestep import provenance
from largestep.dynamics.recipe import Recipe
from largestep.dynamics.simulation import simulate
from largestep.jobs.here import Here
from largestep.measures.base import Measure
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["Grid", "ends"]


class Cell(NamedTuple):
    """A combination of settings, apart by whether only the schedule needs them."""

    others: tuple[tuple[str, float], ...]
    schedule: tuple[tuple[str, float], ...]

    @property
    def settings(self) -> dict[str, float]:
        return dict(self.others + self.schedule)


@dataclass(frozen=True)
class Grid:
    """A grid of trajectories: it goes to wherever they run. They are numbered along x first."""

    recipe: Recipe
    fixed: Mapping[str, float]
    axes: Mapping[str, np.ndarray]
    seeds: Sequence[int]
    steps: int
    measures: Sequence[Measure]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Points along the axes, and seeds."""
        return (*map(len, self.axes.values()), len(self.seeds))

    @property
    def size(self) -> int:
        """Number of trajectories."""
        return int(np.prod(self.shape))

    @cached_property
    def _only_schedule(self) -> set[str]:
        names = (*self.fixed, *self.axes)
        return {n for n in names if {part for part, _ in self.recipe.places(n)} == {"schedule"}}

    def cells(self, numbers: np.ndarray) -> Iterator[tuple[Cell, list[int]]]:
        """Yield the settings of some trajectories, with the seeds that follow each other there."""
        *along, seeds = np.unravel_index(numbers, self.shape)
        places = zip(*(index.tolist() for index in along), strict=True)
        each = zip(places, seeds.tolist(), strict=True)
        for place, same in groupby(each, itemgetter(0)):
            settings = dict(self.fixed)
            for name, index in zip(self.axes, place, strict=True):
                settings[name] = self.axes[name][index].item()
            ordered = sorted(settings.items())
            cell = Cell(
                tuple(s for s in ordered if s[0] not in self._only_schedule),
                tuple(s for s in ordered if s[0] in self._only_schedule),
            )
            yield cell, [self.seeds[seed] for _, seed in same]

    @property
    def zero_loss(self) -> float:
        """The training loss of the predictor that is zero, on the first problem."""
        ((cell, _),) = self.cells(np.array([0]))
        problem: Problem = self.recipe.part("problem", cell.settings)
        return problem.zero_loss

    def check(self) -> None:
        """Make what every value of every axis gives, before anything is computed."""
        first = {**self.fixed, **{name: its[0].item() for name, its in self.axes.items()}}
        for name, values in self.axes.items():
            for value in values.tolist():
                settings = {**first, name: value}
                if name in self._only_schedule and value != first[name]:
                    self.recipe.part("schedule", settings)
                    continue
                try:
                    made = self.recipe.make(settings)
                except ValueError as error:
                    given = ", ".join(
                        f"{setting}={number:g}" for setting, number in settings.items()
                    )
                    raise ValueError(f"with the settings {given}: {error}") from error
                # `simulate` checks that the parts fit, and takes no step.
                simulate(*made, steps=self.steps, record=[0], measure=[], executor=Here())

    @cached_property
    def key(self) -> str:
        """What decides the trajectories beside their settings and seeds."""
        code = provenance.closure((__name__, "ends"))
        return provenance.fingerprint(
            vars(self.recipe), self.measures, self.steps, code.digest, code.versions
        )

    def keys(self, numbers: np.ndarray) -> np.ndarray:
        """Return what tells each of some trajectories from all others of this key, as 64 bits."""
        found: list[bytes] = []
        for cell, seeds in self.cells(numbers):
            settings = blake2b(repr(sorted(cell.settings.items())).encode(), digest_size=8)
            for seed in seeds:
                one = settings.copy()
                one.update(b"%d" % seed)
                found.append(one.digest())
        return np.frombuffer(b"".join(found), dtype=np.uint64)

    def large_step_phase(self, cell: Cell) -> float:
        """Return the fraction of training at which the large steps end."""
        default = self.recipe.default("schedule", "decay_at")
        given = {name.removeprefix("schedule."): value for name, value in cell.settings.items()}
        return float(given.get("decay_at", 1.0 if default is None else default))


def ends(grid: Grid, numbers: np.ndarray) -> np.ndarray:
    """Return how some trajectories end, as rows with a field for each variable."""
    rows = []
    record = np.unique(np.linspace(0, grid.steps, 81).astype(int))
    # Of all but the training loss, which has a plateau, the end is what counts. (What takes stacks
    # costs little at the start too, and rounds otherwise if it is given fewer.)
    measures = [
        m
        if m.name == "train_loss"
        else replace(m, every=len(record), function=m.function if m.stacks else partial(_last, m))
        for m in grid.measures
    ]
    # What differs in its schedule alone is simulated together.
    together = groupby(grid.cells(numbers), lambda found: (found[0].others, found[1]))
    for (_, seeds), alike in together:
        cells = [cell for cell, _ in alike]
        made = grid.recipe.make(cells[0].settings)
        schedules = {
            str(number): grid.recipe.part("schedule", cell.settings)
            for number, cell in enumerate(cells)
        }
        runs = simulate(
            made.network,
            made.problem,
            made.dynamics,
            None if made.schedule is None else schedules,
            steps=grid.steps,
            seeds=seeds,
            measure=measures,
            record=record,
            executor=Here(),
        )
        rows.append(_rows(runs, [grid.large_step_phase(cell) for cell in cells]))
    return np.concatenate(rows)


def _last(measure: Measure, network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    """Return a measure of the last of some parameters, and NaN of the others."""
    values = measure.on(network, problem, thetas[..., -1:, :])
    others = [(0, 0)] * values.ndim
    others[thetas.ndim - 2] = (thetas.shape[-2] - 1, 0)
    return np.pad(values, others, constant_values=np.nan)


def _rows(runs: xr.Dataset, phases: Sequence[float]) -> np.ndarray:
    """Return the last values, and the loss on the second half of each large-step phase."""
    steps, curves = runs.step.values, runs.train_loss.values
    ends = {
        str(name): runs[name].isel(step=-1).values
        if "step" in runs[name].dims
        else runs[name].values
        for name in runs
        if name != "step_size"
    }
    levels = np.full(curves.shape[:2], np.nan)
    for number, phase in enumerate(phases):
        end = phase * float(steps[-1])
        inside = (steps >= 0.5 * end) & (steps <= max(end - 1, 0))
        if inside.any():  # without a recorded step it has no level
            levels[number] = np.median(curves[number][:, inside], axis=-1)
    ends["plateau_loss"] = levels
    rows = np.empty(
        levels.size, dtype=[(name, "<f8", values.shape[2:]) for name, values in ends.items()]
    )
    for name, values in ends.items():
        rows[name] = values.reshape(levels.size, *values.shape[2:])
    return rows
