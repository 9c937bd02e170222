"""What `digits-hold` computes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from largestep.experiments.budget import Budget
from largestep.experiments.deep_networks import HELD
from largestep.experiments.trainings import run_all, survived
from largestep.schedules import decay
from largestep.store import Results

if TYPE_CHECKING:
    from largestep.deep.training import Training

NETWORKS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "batch norm": ({"model_settings": {"norm": "batch"}}, (0.1, 0.5, 1.0, 2.0, 4.0)),
    "batch norm, momentum": (
        {"model_settings": {"norm": "batch"}, "optimizer_settings": {"momentum": 0.9}},
        (0.01, 0.05, 0.1, 0.2, 0.4),
    ),
    "no norm": ({"model_settings": {"norm": "none"}}, (0.02, 0.1, 0.2, 0.5, 1.0)),
    "no norm, momentum": (
        {"model_settings": {"norm": "none"}, "optimizer_settings": {"momentum": 0.9}},
        (0.002, 0.01, 0.02, 0.05, 0.1),
    ),
}
"""By the network's name: what is different in training, and the grid of step sizes."""


def schedules(name: str) -> "dict[str, Training]":
    """Return what is trained, by the name of the schedule."""
    from largestep.deep.training.presets import training

    changes, grid = NETWORKS[name]
    held = training("digits", "hold", evaluations=8, **changes)
    return {
        **{f"{s:g}": replace(held, step_size=decay(s, factor=10, at=0.5)) for s in grid},
        HELD: held,
    }


def compute(budget: Budget) -> Results:
    """Return the training runs of every network."""
    from largestep.deep import data

    digits = data.load("digits", train=500)
    return Results.from_dict(
        {
            name: run_all(f"digits-hold, {name}", budget, schedules(name), digits, survived)
            for name in NETWORKS
        }
    )
