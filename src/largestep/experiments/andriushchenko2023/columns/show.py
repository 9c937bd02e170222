"""What `columns` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.columns.compute import LARGE, SMALL
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import next_seed
from largestep.figures.style import figure, label_panels, legend_above
from largestep.store import Results

PROBLEMS = ("diagonal", "teacher-student", "three-layer", "regression-1d")
_LOOKS = {"rank": ("#2f62ab", ""), "dependent": ("#f0b04c", "\\\\"), "dead": ("0.8", "//")}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw for each problem what the columns are, at the start and after small and large steps."""
    drawing, axes = figure(1, len(PROBLEMS), size=(12, 3.6))
    for ax, problem in zip(axes, PROBLEMS, strict=True):
        columns = results[problem].dataset.columns
        bars = {
            "start": columns.sel(schedule=SMALL).isel(step=0),
            "small": columns.sel(schedule=SMALL).isel(step=-1),
            "large": columns.sel(schedule=LARGE).isel(step=-1),
        }
        for x, values in enumerate(bars.values()):
            base = 0.0
            for kind, (colour, hatch) in _LOOKS.items():
                # Means, unlike medians, add up to the number of columns.
                height = float(values.sel(kind=kind).mean("seed"))
                ax.bar(
                    x,
                    height,
                    bottom=base,
                    color=colour,
                    hatch=hatch,
                    edgecolor="white",
                    label=kind if x == 0 else None,
                )
                base += height
        ax.set_xticks(range(len(bars)), list(bars))
        ax.set_title(problem, fontsize=9)
        ax.set_ylabel(f"columns of the Jacobian\n(means over {len(columns.seed)} seeds)")
        ax.grid(visible=False)
    legend_above(drawing, axes[0], "")
    label_panels(axes)
    return {"figure": drawing}


def _end(problem: str, schedule: str, kind: str, results: Results) -> np.ndarray:
    columns = results[problem].dataset.columns
    end: np.ndarray = columns.sel(schedule=schedule, kind=kind).isel(step=-1).values
    return end


def _share_more(problem: str, kind: str, results: Results, *, control: bool = False) -> np.ndarray:
    """Return how many columns more are of a kind after large steps, as a share of all."""
    small = _end(problem, SMALL, kind, results)
    large = next_seed(small) if control else _end(problem, LARGE, kind, results)
    columns = float(results[problem].dataset.columns.isel(schedule=0, seed=0, step=0).sum())
    return (large - small) / columns


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "What the columns of the Jacobian are: independent (the rank), dependent on others, "
        "or dead; at the start, after small and after large steps. Means over {seeds}, "
        "which, unlike medians, add up.",
        "Four panels of stacked bars. After large steps three quarters of the columns are "
        "dead on diagonal and half on regression-1d; on teacher-student they become "
        "dependent instead; on three-layer little changes.",
    ),
}

CLAIMS: tuple[Claim, ...] = tuple(
    Claim(
        sentence.format(problem),
        f"{kind} columns at the end, large minus small step, same seed, as a share of all",
        partial(_share_more, problem, kind),
        "above",
        0.05,
        control=Control(
            "small step, the next seed minus this one",
            partial(_share_more, problem, kind, control=True),
        ),
        beside={
            f"{way}, {what}": partial(_end, problem, way, what)
            for what in (kind, "rank")
            for way in (LARGE, SMALL)
        },
    )
    for problem in PROBLEMS
    for kind, sentence in (
        ("dead", "The rank falls by columns that die: a twentieth of all or more ({})."),
        ("dependent", "The rank falls by columns that become dependent: a twentieth or more ({})."),
    )
)
