"""The figure of `transformer`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels

__all__ = ["draw_shares"]

_GRID, _HELD = "#b3261e", "#1a1a1a"


def draw_shares(grid: xr.Dataset, held: xr.Dataset) -> Figure:
    """Draw the share of active units against the step size, and against validation loss.

    Parameters
    ----------
    grid, held : with dimensions schedule, seed, step and layer, as `run_all` returns them: step
        sizes of a grid, and those found for each κ.
    """
    drawing, axes = figure(1, 2, size=(8.5, 4))
    for dataset, shade, name in ((grid, _GRID, "grid"), (held, _HELD, "HoldEdge")):
        ends = dataset.isel(step=-1)
        share = ends.raw.mean("layer", skipna=False)
        # In the middle of training the step size is the one that it falls from.
        sizes = dataset.step_size.isel(step=dataset.sizes["step"] // 2)
        for ax, x in zip(axes, (sizes, ends.test_loss), strict=True):
            _points(ax, x, share, shade, name)
    for x, y, label in _medians(held.step_size.isel(step=held.sizes["step"] // 2), held):
        _say(axes[0], f"κ = {label}", x, y, _HELD, left=False)
    for dataset, shade, before in ((grid, _GRID, ""), (held, _HELD, "κ = ")):
        for x, y, label in _medians(dataset.test_loss.isel(step=-1), dataset):
            _say(axes[1], f"{before}{label}", x, y, shade, left=dataset is held)
    axes[1].margins(x=0.15)
    axes[0].set_xscale("log")
    axes[0].set_xlabel("step size held")
    axes[1].set_xlabel("validation loss, nats a character")
    for ax in axes:
        ax.set_ylim(bottom=0)
        ax.set_ylabel("share of active units")
    axes[0].legend(frameon=False)
    label_panels(axes)
    return drawing


def _points(ax: Axes, x: xr.DataArray, y: xr.DataArray, shade: str, name: str) -> None:
    ax.scatter(x, y, s=8, color=shade, alpha=0.4, linewidths=0)
    ax.plot(x.median("seed"), y.median("seed"), "o-", color=shade, label=name)


def _medians(x: xr.DataArray, dataset: xr.Dataset) -> list[tuple[float, float, str]]:
    """Return the middle of each schedule's points, where it has any, and its name."""
    share = dataset.raw.isel(step=-1).mean("layer", skipna=False).median("seed")
    found = zip(x.median("seed").values, share.values, dataset.schedule.values, strict=True)
    return [(a, b, str(label)) for a, b, label in found if np.isfinite([a, b]).all()]


def _say(ax: Axes, text: str, x: float, y: float, shade: str, *, left: bool) -> None:
    above = text.startswith("κ")
    ax.annotate(
        text,
        (x, y),
        xytext=(-6 if left else 6, 4 if above else -4),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom" if above else "top",
        fontsize=7,
        color=shade,
    )
