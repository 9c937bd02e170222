"""The figure of `opposing-signals`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.experiments.rosenfeld2024.opposing_signals.compute import OUTLIERS, SHOWN
from largestep.figures.style import figure, label_panels

__all__ = ["draw_signals"]

_RED, _BLUE, _GREY = "#b3261e", "#3b6fb6", "0.6"
_STYLES = ("--", "-")


def draw_signals(outliers: xr.Dataset, without: xr.Dataset) -> Figure:
    """Draw the edge over training, how far each example's loss moves, and some outliers' losses.

    Parameters
    ----------
    outliers, without : datasets over seed and schedule, with the outliers' coordinate and without.
    """
    drawing, axes = figure(1, 4, size=(14, 3.8))
    for dataset, shade in ((outliers, _RED), (without, _BLUE)):
        _edge(axes[0], dataset, shade)
    handles = [
        Line2D([], [], color=shade, label=label)
        for shade, label in ((_RED, "outliers"), (_BLUE, "their coordinate is zero"))
    ]
    handles += [
        Line2D([], [], color="0.3", linestyle=style, label=str(schedule))
        for style, schedule in zip(_STYLES, outliers.schedule.values, strict=True)
    ]
    drawing.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    for ax, (label, dataset) in zip(
        axes[1:3], (("outliers", outliers), ("their coordinate is zero", without)), strict=True
    ):
        _movement(ax, dataset.isel(schedule=-1).movement)
        ax.set_title(label, fontsize=9)
    low = min(ax.get_ylim()[0] for ax in axes[1:3])
    high = max(ax.get_ylim()[1] for ax in axes[1:3])
    for ax in axes[1:3]:
        ax.set_ylim(low, high)
    _losses(axes[3], outliers.isel(schedule=0), int(outliers.step[-1]))
    label_panels(axes)
    return drawing


def _edge(ax: Axes, dataset: xr.Dataset, shade: str) -> None:
    for style, schedule in zip(_STYLES, dataset.schedule.values, strict=True):
        curve = dataset.edge.sel(schedule=schedule).dropna("step", how="all")
        low, middle, high = curve.quantile([0.25, 0.5, 0.75], "seed").values
        ax.fill_between(curve.step, low, high, color=shade, alpha=0.15, linewidth=0)
        ax.plot(curve.step, middle, color=shade, linestyle=style)
    ax.axhline(1.0, color="black", linewidth=0.9, linestyle=":")
    ax.set_ylim(0, 1.3)
    ax.set_xlabel("steps")
    ax.set_ylabel("ηλ/2")


def _movement(ax: Axes, movement: xr.DataArray) -> None:
    """Draw every example's movement, the median over seeds, in decreasing order of each kind."""
    middle = movement.median("seed").values
    ranked = np.arange(1, len(middle) + 1)
    order = np.argsort(-middle)
    shades = np.where(order < OUTLIERS, _RED, _GREY)
    ax.scatter(ranked, middle[order], s=9, c=shades)
    ax.set_yscale("log")
    ax.set_xlabel("examples, the red ones the outliers")
    ax.set_ylabel("mean change of loss in a step")


def _losses(ax: Axes, dataset: xr.Dataset, steps: int) -> None:
    """Draw the last losses of one side's outliers, of one seed, coloured by which way they move."""
    losses = dataset.last_losses.isel(seed=0, outlier=slice(0, None, 2))
    values = losses.transpose("outlier", "last").values
    with np.errstate(invalid="ignore"):
        values = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    changes = np.diff(values, axis=1)
    together = changes @ changes[0] > 0
    for line, shade in zip(values, np.where(together, _RED, _BLUE), strict=True):
        ax.plot(np.arange(steps - SHOWN + 1, steps + 1), line, color=shade, linewidth=0.9)
    ax.set_xlabel("steps")
    ax.set_ylabel("loss, less its mean, over its deviation")
    ax.set_title(f"outliers of one side, one seed, {dataset.schedule.item()}", fontsize=9)
