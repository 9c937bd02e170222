"""Curves over training: medians and quartiles over the seeds that are still there."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from largestep.figures.style import colours

__all__ = ["bands", "ends", "survival"]


def bands(
    ax: Axes,
    quantity: xr.DataArray,
    *,
    log: bool = False,
    linestyle: str = "-",
) -> None:
    """Draw, for each schedule, the median over seeds and a band from quartile to quartile.

    From where fewer than half of the seeds are left, the line is faded and has no band: it is a
    median of survivors. A line that has lost any seed says how many are left at its end, n.

    Parameters
    ----------
    quantity : with dimensions schedule, seed and step; NaN where nothing was measured.
    """
    shades = colours(quantity.schedule.values)
    for label in quantity.schedule.values:
        curve = quantity.sel(schedule=label).dropna("step", how="all")
        if curve.sizes["step"] == 0:
            continue
        steps = curve.step.values
        values = curve.transpose("seed", "step").values
        low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        left = np.isfinite(values).sum(axis=0)
        many = 2 * left >= len(values)
        shade = shades[label]
        ax.fill_between(steps, low, high, where=many, color=shade, alpha=0.15, linewidth=0)
        ax.plot(
            steps, np.where(many, middle, np.nan), color=shade, linestyle=linestyle, label=label
        )
        if not many.all():
            # The last of the many is drawn by both lines: no gap between them.
            few = ~many | np.r_[~many[1:], False]
            ax.plot(
                steps,
                np.where(few, middle, np.nan),
                color=shade,
                linestyle=":",
                alpha=0.45,
                zorder=1,
            )
        if left[-1] < len(values):
            ax.annotate(
                f"n = {left[-1]}",
                (steps[-1], middle[-1]),
                xytext=(-2, 2),
                textcoords="offset points",
                ha="right",
                fontsize=6,
                color=shade,
            )
    if log:
        ax.set_yscale("log")
    _steps_axis(ax, quantity)
    ax.set_ylabel(quantity.attrs.get("long_name", str(quantity.name)))


def survival(ax: Axes, dataset: xr.Dataset) -> None:
    """Draw the share of seeds that have not diverged, over training."""
    shades = colours(dataset.schedule.values)
    diverged_at = dataset.diverged_at.fillna(np.inf)
    for label in dataset.schedule.values:
        share = (diverged_at.sel(schedule=label) > dataset.step).mean("seed")
        ax.step(dataset.step, share, where="post", color=shades[label])
    ax.set_ylim(-0.03, 1.03)
    _steps_axis(ax, dataset.diverged_at.expand_dims(step=dataset.step))
    ax.set_ylabel("share of seeds not diverged")


def ends(ax: Axes, x: xr.DataArray, y: xr.DataArray, *, log: str = "") -> None:
    """Draw every seed at the end of training as a point, one quantity against another.

    Parameters
    ----------
    log : "x", "y" or "xy": the axes on a logarithmic scale.
    """
    shades = colours(x.schedule.values)
    for label in x.schedule.values:
        ax.scatter(
            x.sel(schedule=label).isel(step=-1),
            y.sel(schedule=label).isel(step=-1),
            s=14,
            color=shades[label],
            alpha=0.75,
            edgecolors="none",
        )
    # Matplotlib refuses a logarithmic axis on which nothing can be shown.
    if "x" in log and bool((x.isel(step=-1) > 0).any()):
        ax.set_xscale("log")
    if "y" in log and bool((y.isel(step=-1) > 0).any()):
        ax.set_yscale("log")
    ax.set_xlabel(f"{x.attrs.get('long_name', x.name)}, end")
    ax.set_ylabel(f"{y.attrs.get('long_name', y.name)}, end")


def _steps_axis(ax: Axes, quantity: xr.DataArray) -> None:
    ax.set_xlabel("steps")
    ax.set_xlim(0, float(quantity.step[-1]))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
