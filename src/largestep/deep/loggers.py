"""Where a probe's measurements can go: TensorBoard and CSV."""

import csv as _csv
from collections.abc import Mapping
from pathlib import Path

from largestep.deep.probe import Logger

__all__ = ["csv", "tensorboard"]


def tensorboard(folder: str | Path) -> Logger:
    """Return a logger that writes scalars for TensorBoard; it needs the package `tensorboard`.

    Parameters
    ----------
    folder : the run's folder of event files.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def log(step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log


def csv(path: str | Path) -> Logger:
    """Return a logger that adds lines step, measure, layer, value to a file.

    Parameters
    ----------
    path : of the file; lines are added to what it holds.

    Raises
    ------
    OSError
        If the file can't be written.
    """
    path = Path(path)
    with path.open("a", newline="") as file:
        if file.tell() == 0:
            _csv.writer(file).writerow(["step", "measure", "layer", "value"])

    def log(step: int, scalars: Mapping[str, float]) -> None:
        with path.open("a", newline="") as file:
            rows = ([step, *name.partition("/")[::2], value] for name, value in scalars.items())
            _csv.writer(file).writerows(rows)

    return log
