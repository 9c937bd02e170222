"""The figure of `opposing-signals`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.experiments.rosenfeld2024.opposing_signals.compute import OUTLIERS
from largestep.figures import curves
from largestep.figures.style import figure, label_panels

__all__ = ["draw_signals"]

_SHADES = ("#b3261e", "#3b6fb6")
_OTHERS = "0.6"
_LINES = ("--", "-")


def draw_signals(
    data: dict[str, xr.Dataset], correlations: dict[str, np.ndarray], opposed: float
) -> Figure:
    """Draw the edge over training, how far each loss moves, and how outliers' losses correlate.

    Parameters
    ----------
    data : {name: dataset over seed and schedule}, with the outliers' coordinate and without.
    correlations : {name: those of all pairs of outliers, at the first schedule}.
    opposed : pairs below it move against each other.
    """
    drawing, axes = figure(1, 4, size=(14, 3.8))
    schedules = [str(name) for name in next(iter(data.values())).schedule.values]
    for dataset, shade in zip(data.values(), _SHADES, strict=True):
        for schedule, line in zip(schedules, _LINES, strict=True):
            edge = dataset.edge.sel(schedule=schedule)
            curves.over(axes[0], edge, "step", colour=shade, line=line)
    axes[0].axhline(1.0, color="black", linewidth=0.9, linestyle=":")
    axes[0].set_ylim(0, 1.3)
    axes[0].set_xlabel("steps")
    axes[0].set_ylabel("ηλ/2")
    for ax, (name, dataset) in zip(axes[1:3], data.items(), strict=True):
        _movement(ax, dataset.isel(schedule=-1).movement)
        ax.set_title(f"{name}, {schedules[-1]}", fontsize=9)
    low, high = axes[2].get_ylim()[0], axes[1].get_ylim()[1]
    for ax in axes[1:3]:
        ax.set_ylim(low, high)
    for pairs, shade in reversed(list(zip(correlations.values(), _SHADES, strict=True))):
        _histogram(axes[3], pairs, shade)
    axes[3].axvline(opposed, color="black", linewidth=0.9, linestyle=":")
    axes[3].set_title(schedules[0], fontsize=9)
    handles = [
        Line2D([], [], color=shade, label=name) for name, shade in zip(data, _SHADES, strict=True)
    ]
    for line, schedule in zip(_LINES, schedules, strict=True):
        handles += axes[0].plot([], [], line, color="0.3", label=schedule)
    drawing.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    label_panels(axes)
    return drawing


def _movement(ax: Axes, movement: xr.DataArray) -> None:
    """Draw every example's movement, the median over seeds, in decreasing order."""
    middle = movement.median("seed").values
    order = np.argsort(-middle)
    shades = np.where(order < OUTLIERS, _SHADES[0], _OTHERS)
    ax.scatter(np.arange(1, len(middle) + 1), middle[order], s=9, c=shades)
    ax.set_yscale("log")
    ax.set_xlabel("examples, the red ones the outliers")
    ax.set_ylabel("mean change of loss in a step")


def _histogram(ax: Axes, pairs: np.ndarray, shade: str) -> None:
    """Draw how the correlations of all pairs of all seeds are distributed."""
    shares = np.full(pairs.size, 1.0 / pairs.size)
    ax.hist(pairs.ravel(), 40, range=(-1.0, 1.0), weights=shares, color=shade, alpha=0.5)
    ax.set_xlabel("correlation of two outliers' changes of loss")
    ax.set_ylabel("share of the pairs")
