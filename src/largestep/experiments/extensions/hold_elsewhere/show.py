"""What `hold-elsewhere` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.extensions.hold_elsewhere.compute import (
    BY_NOISE,
    CLEAN,
    GRID,
    HELD,
    NOISY,
)
from largestep.experiments.phases import next_seed, ratio
from largestep.figures.style import figure, label_panels, log_percentages
from largestep.store import Results

_COLOURS = {HELD: "#3b6fb6", BY_NOISE: "#1a7f4b"}


def grids_best(dataset: xr.Dataset) -> np.ndarray:
    """Return the (seeds, problems) test losses of each problem's best step size of the grid."""
    grid = dataset.test_loss.sel(way=[f"{eta:g}" for eta in GRID]).transpose("problem", "way", ...)
    medians = grid.median("seed", skipna=False).fillna(np.inf)
    best: np.ndarray = grid.isel(way=medians.argmin("way")).transpose("seed", "problem").values
    return best


def _held(dataset: xr.Dataset, way: str) -> np.ndarray:
    held: np.ndarray = dataset.test_loss.sel(way=way).transpose("seed", "problem").values
    return held


def _over_best(kind: str, way: str, results: Results) -> np.ndarray:
    return ratio(_held(results[kind].dataset, way), grids_best(results[kind].dataset))


def _luck(kind: str, results: Results) -> np.ndarray:
    best = grids_best(results[kind].dataset)
    return ratio(np.apply_along_axis(next_seed, 0, best), best)


def _over_default(results: Results, *, control: bool = False) -> np.ndarray:
    default = _held(results[NOISY].dataset, HELD)
    other = (
        np.apply_along_axis(next_seed, 0, default)
        if control
        else _held(results[NOISY].dataset, BY_NOISE)
    )
    return ratio(other, default)


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw HoldLoss's test loss over the best of the grid, a row for each problem."""
    rows = max(results[kind].sizes["problem"] for kind in (CLEAN, NOISY))
    drawing, axes = figure(1, 2, size=(13, 0.26 * rows + 1.1))
    for ax, kind in zip(axes, (CLEAN, NOISY), strict=True):
        problems = results[kind].dataset.problem.values
        for way in (HELD, *([BY_NOISE] if kind == NOISY else [])):
            low, middle, high = np.nanquantile(
                _over_best(kind, way, results), [0.25, 0.5, 0.75], axis=0
            )
            y = np.arange(len(problems)) + (0.15 if way == BY_NOISE else -0.15)
            ax.hlines(y, low, high, color=_COLOURS[way], linewidth=3, alpha=0.4)
            ax.plot(middle, y, "o", color=_COLOURS[way], markersize=4, label=way)
        ax.axvline(1.0, color="0.4", linewidth=0.8, linestyle="--")
        ax.set_xscale("log")
        ax.set_yticks(range(len(problems)), list(problems))
        ax.set_ylim(len(problems) - 0.4, -0.6)
        ax.set_xlabel("test loss over that of the grid's best")
    log_percentages(axes[1].xaxis)
    axes[1].legend(fontsize=7)
    label_panels(axes)
    return {"figure": drawing}


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "HoldLoss's test loss over that of the best step size of a grid, problem by "
        "problem: a, without noise on the targets; b, with it, also with the target set by "
        "the noise. Dots are medians over {seeds}, bars reach from quartile to quartile; "
        "left of the broken line HoldLoss is better.",
        "Two panels with a row for each problem. Without noise most medians lie left of "
        "one; with noise many lie right of it, fewer where the target is set by the noise.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            sentence,
            f"final test loss, {way} over the grid's best, same seed, on each of {count} problems "
            "(the worst)",
            partial(_over_best, kind, way),
            "below",
            bound,
            control=Control(
                "the grid's best, the next seed over this one (the worst)", partial(_luck, kind)
            ),
        )
        for sentence, kind, way, count, bound in (
            (
                "HoldLoss ends at a lower test loss than a capped grid's best, on every problem.",
                CLEAN,
                HELD,
                "nine",
                1.0,
            ),
            (
                "With noisy targets it ends below the grid's best too, on every problem.",
                NOISY,
                HELD,
                "twelve",
                1.0,
            ),
            (
                "With a target by the noise it is within a quarter of it, on every problem.",
                NOISY,
                BY_NOISE,
                "twelve",
                1.25,
            ),
        )
    ),
    Claim(
        "With noisy targets, a target by the noise ends lower than the default, on every problem.",
        "final test loss, target by the noise over the default, same seed, on each of twelve "
        "problems (the worst)",
        _over_default,
        "below",
        1.0,
        control=Control(
            "the default, the next seed over this one (the worst)",
            lambda r: _over_default(r, control=True),
        ),
    ),
)
