"""What an experiment is: what it computes, what it claims, what it shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from largestep.experiments.claims import Claim
from largestep.store import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Budget", "Experiment"]


@dataclass(frozen=True)
class Budget:
    """How much an experiment may compute.

    Attributes
    ----------
    seeds : the seeds of its trajectories.
    quick : take a tenth of the steps: the look of the figure, not the paper's setting.
    threads : trajectories run at once; None for all cores.
    progress : show it on standard error.
    folder : where long runs are kept while they last; None keeps nothing.
    data : folder that holds the data sets, for experiments that need any.
    """

    seeds: list[int]
    quick: bool = False
    threads: int | None = None
    progress: bool = False
    folder: Path | None = None
    data: Path | None = None

    def steps(self, full: int) -> int:
        """Return the number of steps to take where the full setting has `full`."""
        return max(full // 10, 1) if self.quick else full


@dataclass(frozen=True)
class Experiment:
    """One figure of the paper: its problem, network, schedules, measures and claims.

    Attributes
    ----------
    name : as the command line knows it.
    title : what the page calls it.
    shows : one sentence on what it shows.
    setting : paragraphs on the exact setting, and where it departs from the paper's.
    seconds : about how long its default number of seeds takes on two cores.
    compute : budget → datasets.
    claims : what must come out.
    draw : datasets → figures by file name; the first is "figure".
    animate : datasets, path of a GIF to write → None; for experiments that move.
    seeds : its default number of seeds.
    needs_torch : whether it needs the extra.
    """

    name: str
    title: str
    shows: str
    setting: str
    seconds: float
    compute: Callable[[Budget], Results]
    claims: tuple[Claim, ...]
    draw: Callable[[Results], Mapping[str, "Figure"]]
    animate: Callable[[Results, Path], None] | None = None
    seeds: int = 20
    needs_torch: bool = False
