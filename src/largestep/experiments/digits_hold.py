"""`digits-hold`: the step size that holds the loss, against a grid of step sizes, on digits."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import at_end, falls
from largestep.experiments.deep_networks import (
    HELD,
    best,
    held_above_best,
    held_survives,
    sparsity,
)
from largestep.experiments.deep_runs import run_all, survived
from largestep.figures.deep import draw_ends
from largestep.schedules import decay
from largestep.store import Results

if TYPE_CHECKING:
    from largestep.deep.training import Training

NETWORKS: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "batch norm": ({"model_settings": {"norm": "batch"}}, (0.1, 0.5, 1.0, 2.0, 4.0)),
    "batch norm, momentum": (
        {"model_settings": {"norm": "batch"}, "momentum": 0.9},
        (0.01, 0.05, 0.1, 0.2, 0.4),
    ),
    "no norm": ({"model_settings": {"norm": "none"}}, (0.02, 0.1, 0.2, 0.5, 1.0)),
    "no norm, momentum": (
        {"model_settings": {"norm": "none"}, "momentum": 0.9},
        (0.002, 0.01, 0.02, 0.05, 0.1),
    ),
}
"""By the network's name: what is different in training, and the grid of step sizes."""


def schedules(name: str) -> "dict[str, Training]":
    """Return what is trained, by the name of the schedule."""
    from largestep.deep.presets import training

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
    return {
        name: run_all(f"digits-hold, {name}", budget, schedules(name), digits, survived)
        for name in NETWORKS
    }


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw test error against the sparsity of the last stage, a panel for each network."""
    return {"figure": draw_ends(results)}


def _sparsity_over_best(name: str, results: Results) -> np.ndarray:
    dataset = results[name]
    ratio: np.ndarray = at_end(sparsity(dataset), HELD) / at_end(sparsity(dataset), best(dataset))
    return ratio


CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for name, (_, grid) in NETWORKS.items()
    for claim in (
        Claim(
            f"No run of LossStabilization diverges or collapses ({name}).",
            "1 if the seed has neither diverged nor collapsed",
            partial(held_survives, name),
            "above",
            0.999,
            centre="mean",
        ),
        Claim(
            f"LossStabilization ends within half a point of the grid's best test error ({name}).",
            "test error minus that of the grid's step size with the lowest median, same seed",
            partial(held_above_best, name),
            "below",
            0.005,
        ),
        falls(
            name,
            sparsity,
            "feature sparsity of the last stage",
            from_schedule=f"{grid[0]:g}",
            to_schedule=HELD,
            sentence=f"LossStabilization is less than two thirds as dense as {grid[0]:g} ({name}).",
            bound=2 / 3,
        ),
        Claim(
            f"LossStabilization is at least as sparse as the grid's best ({name}).",
            "feature sparsity over that of the grid's step size of lowest test error, same seed",
            partial(_sparsity_over_best, name),
            "below",
            1.0,
        ),
    )
)

EXPERIMENT = Experiment(
    name="digits-hold",
    title="A step size that needs no tuning, in a deep network",
    shows="LossStabilization on digits, against a grid of step sizes, with and without batch norm.",
    setting="""
The residual network of digits, with batch norm and without normalisation, without momentum and
with 0.9, 40 epochs on 500 images. Step sizes of a grid, divided by 10 after half of training; with
momentum a tenth of them. LossStabilization has one setting for all. The grid's best is the step
size of lowest median test error among those at which no seed diverged or collapsed; it is chosen on
the seeds that are shown, in the grid's favour.
""",
    seconds=500,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
    seeds=5,
    needs_torch=True,
)
