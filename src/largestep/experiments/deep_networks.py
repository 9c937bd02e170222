"""What the experiments on deep networks compute: the paper's schedules, and held losses."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from largestep.experiments.budget import Budget
from largestep.experiments.trainings import run_all, survived
from largestep.store import Results

if TYPE_CHECKING:
    from largestep.deep.training import Training

__all__ = ["HELD", "LARGE", "LENGTHS", "SMALL", "DeepNetworks"]

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
        from largestep.deep.training.presets import training

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
