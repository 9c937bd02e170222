"""What the experiments on deep networks compute: the paper's schedules, and held losses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from largestep.experiments.budget import Budget
from largestep.experiments.trainings import run_all, survived
from largestep.store import Results

if TYPE_CHECKING:
    from largestep.deep.training import Training

__all__ = ["HELD", "LARGE", "LATE", "LENGTHS", "SMALL", "DeepNetworks", "compute_all"]

PHASES = (0.1, 0.3, 0.5)
LENGTHS = tuple(f"{phase:.0%}" for phase in PHASES)
SMALL, LATE, HELD = "small", "late steps alone", "LossStabilization"
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
    late : whether the late steps of the large schedules are taken alone too.
    changes : of any of the parameters of `Training`.
    """

    preset: str
    datasets: tuple[str, ...]
    settings: tuple[str, ...] = ("plain", "sota")
    evaluations: int = 40
    late: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    def schedules(self, setting: str) -> "dict[str, Training]":
        """Return what is trained, by the name of the schedule."""
        from largestep.deep.training.presets import training

        def train(schedule: str, **phase: float) -> "Training":
            changes: dict[str, Any] = {**phase, **self.changes, "evaluations": self.evaluations}
            return training(self.preset, schedule, setting=setting, **changes)

        return {
            SMALL: train("small"),
            **({LATE: train("late")} if self.late else {}),
            **{
                label: train("large", phase=phase)
                for label, phase in zip(LARGE, PHASES, strict=True)
            },
            HELD: train("hold"),
        }

    def compute(self, budget: Budget) -> Results:
        """Return a dataset for each data set and setting."""
        from largestep.deep import data
        from largestep.deep.training.presets import PRESETS

        train = PRESETS[self.preset].train
        # All before the first of many hours, as one may be missing.
        loaded = {name: data.load(name, budget.data, train=train) for name in self.datasets}
        results = {}
        for dataset, examples in loaded.items():
            for setting in self.settings:
                results[f"{dataset}/{setting}"] = run_all(
                    f"{self.preset}, {dataset}, {setting}",
                    budget,
                    self.schedules(setting),
                    examples,
                    survived,
                )
        return Results.from_dict(results)


def compute_all(networks: Mapping[str, DeepNetworks], budget: Budget) -> Results:
    """Return the runs of several networks, of one data set each, as name/setting."""
    return Results.from_dict(
        {
            f"{name}/{setting}": node.dataset
            for name, network in networks.items()
            for setting, node in network.compute(budget)[network.datasets[0]].items()
        }
    )
