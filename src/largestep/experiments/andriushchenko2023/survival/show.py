"""What `survival` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.survival.compute import (
    CAPPED,
    GD_DATA,
    HELD,
    LARGER,
    OFTEN_LOST,
    PAPER,
    SURVIVING,
    UNCAPPED,
)
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.figures.style import figure
from largestep.statistics import share_interval
from largestep.store import Results

ROWS = (
    *(
        (problem, way, against)
        for problem in ("diagonal", "regression-1d", "teacher-student", "three-layer")
        for way, against in ((PAPER, LARGER), (CAPPED, LARGER), (HELD, UNCAPPED))
    ),
    ("surface", PAPER, LARGER),
    (GD_DATA, SURVIVING, LARGER),
    (GD_DATA, OFTEN_LOST, LARGER),
)
"""Problem, way to train, and the way that is its control."""


def survives(problem: str, way: str, results: Results) -> np.ndarray:
    """Return 1 for every seed that has not diverged; on `diagonal` not before the decay."""
    diverged_at = results[f"{problem}/{way}"].dataset.diverged_at
    if (problem, way) == ("diagonal", PAPER):
        diverged_at = diverged_at.where(
            diverged_at <= 0.5 * float(results[f"{problem}/{way}"].dataset.step)
        )
    there: np.ndarray = diverged_at.isnull().values
    return there.astype(float)


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the share of seeds that survive, with its exact interval, a row for each way."""
    rows = [(problem, way) for problem, node in results.items() for way in node.children]
    drawing, (ax,) = figure(1, 1, size=(8, 0.24 * len(rows) + 0.8))
    for y, (problem, way) in enumerate(rows):
        there = survives(problem, way, results)
        interval = share_interval(int(there.sum()), len(there))
        colour, marker = ("#2f62ab", "o") if way in (CAPPED, HELD) else ("#a31515", "D")
        ax.plot([interval.low, interval.high], [y, y], color=colour, linewidth=3, alpha=0.4)
        ax.plot(there.mean(), y, marker, color=colour, markersize=5)
    ax.axvline(0.9, color="0.4", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(rows)), [f"{problem}, {way}" for problem, way in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(f"share of {len(there)} seeds that have not diverged, 95 % interval")
    return {"figure": drawing}


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "The share of runs that have not diverged, with its exact 95 % interval, for each "
        "problem and way to train; circles are capped runs and HoldLoss, diamonds all "
        "others. The broken line is nine in ten.",
        "A list of 25 shares. All capped runs and HoldLoss survive; the paper's schedules "
        "survive in all runs on regression-1d, in six of ten on diagonal and in hardly any "
        "on teacher-student.",
    ),
}

CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        f"Nine runs in ten survive: {problem}, {way}.",
        "1 if the seed has not diverged "
        + ("before the decay" if (problem, way) == ("diagonal", PAPER) else "at the end"),
        partial(survives, problem, way),
        "above",
        0.9,
        centre="mean",
        control=Control(against, partial(survives, problem, against)),
        whose="our own",
    )
    for problem, way, against in ROWS
)
