"""Which experiments there are: found in the papers' folders, not listed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

import largestep.experiments
from largestep.experiments.experiment import Experiment

__all__ = ["Broken", "broken", "find", "get"]


@dataclass(frozen=True)
class Broken:
    """A folder whose entry can't be read.

    Attributes
    ----------
    name : as far as the folder's name tells.
    reason : what went wrong.
    """

    name: str
    reason: str


def find() -> dict[str, Experiment]:
    """Return the experiments by name, in the order of the page."""
    found = [entry for entry in _entries() if isinstance(entry, Experiment)]
    found.sort(key=lambda e: (e.paper.order, e.order, e.name))
    return {entry.name: entry for entry in found}


def broken() -> list[Broken]:
    """Return the folders whose entries can't be read, with the reasons."""
    return [entry for entry in _entries() if isinstance(entry, Broken)]


def get(name: str) -> Experiment:
    """Return the experiment of that name.

    Raises
    ------
    ValueError
        If there is none, or it is broken; the error lists those there are, or says why.
    """
    found = find()
    if name not in found:
        for entry in broken():
            if entry.name == name:
                raise ValueError(f"experiment {name} is broken: {entry.reason}")
        raise ValueError(f"experiment must be one of {', '.join(found)}, got {name!r}")
    return found[name]


def _entries() -> Iterator[Experiment | Broken]:
    for paper in _packages(largestep.experiments.__path__, "largestep.experiments"):
        try:
            folders = list(_packages(import_module(paper).__path__, paper))
        except Exception as error:  # whatever a stranger's folder may raise
            yield _broken(paper, error)
            continue
        for folder in folders:
            try:
                entry = import_module(folder).EXPERIMENT
                if not isinstance(entry, Experiment):
                    raise TypeError(f"EXPERIMENT must be an Experiment, got {entry!r}")
                entry.paper  # noqa: B018  (it must have one)
            except Exception as error:
                yield _broken(folder, error)
            else:
                yield entry


def _packages(path: Iterable[str], parent: str) -> Iterator[str]:
    return (f"{parent}.{m.name}" for m in iter_modules(path) if m.ispkg)


def _broken(package: str, error: Exception) -> Broken:
    name = package.rpartition(".")[2].replace("_", "-")
    return Broken(name, f"{type(error).__name__}: {error}")
