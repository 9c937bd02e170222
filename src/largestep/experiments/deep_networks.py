"""What the experiments on deep networks share: the paper's schedules, claims and panels."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.base import Budget
from largestep.experiments.claims import Claim
from largestep.experiments.common import (
    at_end,
    diverges_rarely,
    drops_at_decay,
    falls,
    falls_with_length,
    reached_before_decay,
    stabilises,
)
from largestep.experiments.deep_runs import run_all, survived
from largestep.figures.deep import draw_measures
from largestep.store import Results

if TYPE_CHECKING:
    from largestep.deep.training import Training

__all__ = [
    "HELD",
    "LARGE",
    "SMALL",
    "DeepNetworks",
    "best",
    "error",
    "held_above_best",
    "held_survives",
    "sparsity",
]

PHASES = (0.1, 0.3, 0.5)
LENGTHS = tuple(f"{phase:.0%}" for phase in PHASES)
SMALL, HELD = "small", "LossStabilization"
LARGE = tuple(f"large until {length}" for length in LENGTHS)


@dataclass(frozen=True)
class DeepNetworks:
    """A network of `deep.presets` on its data sets: small and large steps, and held losses.

    Attributes
    ----------
    preset : its name.
    datasets : names of its data sets.
    settings : "plain", "sota" or both.
    evaluations : how often a run is measured.
    """

    preset: str
    datasets: tuple[str, ...]
    settings: tuple[str, ...] = ("plain", "sota")
    evaluations: int = 40

    def schedules(self, setting: str) -> "dict[str, Training]":
        """Return what is trained, by the name of the schedule."""
        from largestep.deep.presets import training

        train = partial(training, self.preset, setting=setting, evaluations=self.evaluations)
        return {
            SMALL: train("small"),
            **{
                label: train("large", phase=phase)
                for label, phase in zip(LARGE, PHASES, strict=True)
            },
            HELD: train("hold"),
        }

    def compute(self, budget: Budget) -> Results:
        """Return a dataset for each data set and setting."""
        from largestep.deep import data
        from largestep.deep.presets import PRESETS

        train = PRESETS[self.preset].train
        # All before the first of many hours, as one may be missing.
        loaded = {name: data.load(name, budget.data, train=train) for name in self.datasets}
        results = {}
        for dataset, examples in loaded.items():
            for setting in self.settings:
                run = f"{dataset}, {setting}"
                results[run] = run_all(
                    f"{self.preset}, {run}", budget, self.schedules(setting), examples, survived
                )
        return results

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims, on each data set and in each setting."""
        runs = [f"{d}, {s}" for d in self.datasets for s in self.settings]
        if len(runs) == 1:
            return tuple(_claims(runs[0]))
        return tuple(
            replace(claim, sentence=f"On {run}: {claim.sentence}")
            for run in runs
            for claim in _claims(run)
        )

    def draw(self, results: Results) -> Mapping[str, Figure]:
        """Draw the panels of every data set and setting."""
        first, *others = results
        return {
            "figure": draw_measures(results[first]),
            **{run.replace(", ", "-"): draw_measures(results[run]) for run in others},
        }


def sparsity(dataset: xr.Dataset) -> xr.DataArray:
    """Return the feature sparsity of the last stage."""
    return dataset.distinct.isel(layer=-1)


def error(dataset: xr.Dataset) -> xr.DataArray:
    """Return the test error."""
    return dataset.test_error


def held_survives(run: str, results: Results) -> np.ndarray:
    """Return 1 for every seed that LossStabilization has neither diverged nor collapsed on."""
    there: np.ndarray = results[run].diverged_at.sel(schedule=HELD).isnull().values
    return there.astype(float)


def best(dataset: xr.Dataset) -> str:
    """Return the schedule without control of the lowest median test error, all seeds there."""
    ends = {s: at_end(error(dataset), s) for s in dataset.schedule.values if s != HELD}
    whole = [label for label, errors in ends.items() if np.isfinite(errors).all()]
    return min(whole or ends, key=lambda label: float(np.nanmedian(ends[label])))


def held_above_best(run: str, results: Results) -> np.ndarray:
    """Return by how much LossStabilization's test error is above the best schedule's."""
    errors = error(results[run])
    difference: np.ndarray = at_end(errors, HELD) - at_end(errors, best(results[run]))
    return difference


def _claims(run: str) -> list[Claim]:
    sparsity_name, error_name = "feature sparsity of the last stage", "test error"

    return [
        stabilises(run, LARGE[2], until=0.5, step_size="the large step size"),
        drops_at_decay(run, LARGE[2], until=0.5, bound=0.5),
        falls(
            run,
            sparsity,
            sparsity_name,
            from_schedule=SMALL,
            to_schedule=LARGE[2],
            sentence=f"Large steps end at less than two thirds of small steps' {sparsity_name}.",
            bound=2 / 3,
        ),
        *falls_with_length(run, sparsity, sparsity_name, LARGE, LENGTHS),
        reached_before_decay(run, sparsity, sparsity_name, LARGE[2], 0.5),
        falls(
            run,
            error,
            error_name,
            from_schedule=SMALL,
            to_schedule=LARGE[2],
            sentence=f"Large steps end at a lower {error_name} than small ones.",
        ),
        *falls_with_length(run, error, error_name, LARGE, LENGTHS),
        diverges_rarely(run, LARGE[2]),
        Claim(
            "No run of LossStabilization diverges or collapses.",
            "1 if the seed has neither diverged nor collapsed",
            partial(held_survives, run),
            "above",
            0.999,
            centre="mean",
        ),
        falls(
            run,
            sparsity,
            sparsity_name,
            from_schedule=SMALL,
            to_schedule=HELD,
            sentence=(
                f"LossStabilization ends at less than two thirds of small steps' {sparsity_name}."
            ),
            bound=2 / 3,
        ),
        Claim(
            f"LossStabilization ends within half a point of the best schedule's {error_name}.",
            "test error minus that of the schedule with the lowest median, same seed",
            partial(held_above_best, run),
            "below",
            0.005,
        ),
    ]
