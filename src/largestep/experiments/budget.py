"""How much an experiment may compute."""

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Budget"]


@dataclass(frozen=True)
class Budget:
    """How much an experiment may compute.

    Attributes
    ----------
    seeds : the seeds of its trajectories.
    quick : take a tenth of the steps: the look of the figure, not the paper's setting.
    threads : trajectories run at once; None for all cores.
    executor : where to compute instead, as `simulate` takes it.
    progress : show it on standard error.
    folder : where long runs are kept while they last; None keeps nothing.
    data : folder that holds the data sets, for experiments that need any.
    """

    seeds: list[int]
    quick: bool = False
    threads: int | None = None
    executor: Executor | None = None
    progress: bool = False
    folder: Path | None = None
    data: Path | None = None

    def steps(self, full: int) -> int:
        """Return the number of steps to take where the full setting has `full`."""
        return max(full // 10, 1) if self.quick else full

    def described(self, text: str) -> str | None:
        """Return the text where progress is shown, otherwise None."""
        return text if self.progress else None
