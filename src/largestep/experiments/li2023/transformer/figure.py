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
        _points(axes[0], sizes, share, shade, name, "" if dataset is grid else "κ = ")
        _points(axes[1], ends.test_loss, share, shade, name, "" if dataset is grid else "κ = ")
    axes[0].set_xscale("log")
    axes[0].set_xlabel("step size held")
    axes[1].set_xlabel("validation loss, nats a character")
    for ax in axes:
        ax.set_ylim(bottom=0)
        ax.set_ylabel("share of active units")
    axes[0].legend(frameon=False)
    label_panels(axes)
    return drawing


def _points(ax: Axes, x: xr.DataArray, y: xr.DataArray, shade: str, name: str, before: str) -> None:
    ax.scatter(x, y, s=8, color=shade, alpha=0.4, linewidths=0)
    middle = [
        (float(x.sel(schedule=s).median()), float(y.sel(schedule=s).median()), str(s))
        for s in y.schedule.values
    ]
    ax.plot([m[0] for m in middle], [m[1] for m in middle], "o-", color=shade, label=name)
    for across, up, label in middle:
        if np.isfinite([across, up]).all():
            above = bool(before)
            ax.annotate(
                f"{before}{label}",
                (across, up),
                xytext=(5, 5) if above else (-5, -5),
                textcoords="offset points",
                ha="left" if above else "right",
                va="bottom" if above else "top",
                fontsize=7,
                color=shade,
            )
