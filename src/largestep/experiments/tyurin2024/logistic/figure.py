"""The figure of `logistic`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels

__all__ = ["draw_separation"]

_BLUE, _RED, _GREEN = "#3b6fb6", "#b3261e", "#2f6f4f"


def draw_separation(
    digits: xr.Dataset, limit: xr.Dataset, worst: xr.Dataset, diagonal: xr.Dataset
) -> Figure:
    """Draw iterations and losses over the step size, the limit, the worst case, and sparsity.

    Parameters
    ----------
    digits : over seed, way and step_size, with the perceptron's iterations.
    limit : over seed and step_size.
    worst : as digits, without seeds.
    diagonal : over seed and schedule.
    """
    drawing, axes = figure(1, 5, size=(17, 3.7))
    _iterations(axes[0], digits)
    axes[0].set_title("digits", fontsize=9)
    curves.over(axes[1], digits.peak_loss.isel(way=0), "step_size", colour=_BLUE, line="o-")
    axes[1].axhline(np.log(2.0), color="black", linewidth=0.9, linestyle=":", label="at the start")
    axes[1].set_ylabel("peak training loss")
    axes[1].set_title("digits", fontsize=9)
    axes[1].legend(fontsize=8)
    curves.over(axes[2], limit.distance, "step_size", colour=_BLUE, line="o-")
    axes[2].set_ylabel("distance of θ/γ to the perceptron's θ")
    axes[2].set_title("digits", fontsize=9)
    _iterations(axes[3], worst)
    axes[3].set_title("the worst case", fontsize=9)
    for ax in axes[:4]:
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("step size γ")
    _sparsity(axes[4], diagonal)
    label_panels(axes)
    return drawing


def _iterations(ax: Axes, dataset: xr.Dataset) -> None:
    for way, shade in zip(dataset.way.values, (_BLUE, _GREEN), strict=True):
        iterations = dataset.iterations.sel(way=way)
        curves.over(ax, iterations, "step_size", colour=shade, line="o-", label=str(way))
    ax.axhline(
        float(dataset.perceptron.median()),
        color=_RED,
        linewidth=0.9,
        linestyle="--",
        label="perceptron",
    )
    ax.set_ylabel("iterations until all are separated")
    ax.legend(fontsize=8)


def _sparsity(ax: Axes, dataset: xr.Dataset) -> None:
    curves.over(ax, dataset.nonzero_coordinates, "schedule", colour=_BLUE, line="o-")
    ax.set_xscale("log")
    ticks = [0.02, 0.05, 0.1, 0.2, 0.5]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(0, None)
    ax.set_xlabel("step size η of SGD")
    ax.set_ylabel("coordinates", color=_BLUE)
    ax.set_title("a diagonal network", fontsize=9)
    other = ax.twinx()
    curves.over(other, dataset.test_error, "schedule", colour=_RED, line="o-")
    other.set_ylim(0, 0.5)
    other.grid(visible=False)
    other.set_ylabel("test error", color=_RED)
