"""The paper's figures, one module each: settings, measures and claims."""

from importlib import import_module

from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim

__all__ = ["BY_NAME", "NAMES", "Budget", "Claim", "Experiment", "get"]

NAMES = (
    "diagonal",
    "diagonal-dense",
    "diagonal-gd",
    "regression-1d",
    "teacher-student",
    "three-layer",
    "surface",
    "one-dimension",
    "sde",
    "rivals",
    "hold",
    "digits",
    "digits-hold",
    "compaction",
    "resnet18",
    "densenet100",
)
"""Every experiment, in the order of the page."""

BY_NAME = ("digits-hold", "compaction", "resnet18", "densenet100")
"""Those that run only when they are named: they take long, or need a data set."""


def get(name: str) -> Experiment:
    """Return the experiment of that name.

    Raises
    ------
    ValueError
        If there is none; the error lists those there are.
    """
    if name not in NAMES:
        raise ValueError(f"experiment must be one of {', '.join(NAMES)}, got {name!r}")
    module = import_module(f"largestep.experiments.{name.replace('-', '_')}")
    experiment: Experiment = module.EXPERIMENT
    return experiment
