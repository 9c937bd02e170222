"""Curves over training: medians and quartiles over the seeds that are still there."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from largestep.figures.style import colours

__all__ = ["bands", "ends", "over", "survival"]


def bands(
    ax: Axes,
    quantity: xr.DataArray,
    *,
    log: bool = False,
    linestyle: str = "-",
) -> None:
    """Draw, for each schedule, the median over seeds and a band from quartile to quartile.

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
        low, middle, high = np.nanquantile(
            curve.transpose("seed", "step").values, [0.25, 0.5, 0.75], axis=0
        )
        ax.fill_between(steps, low, high, color=shades[label], alpha=0.15, linewidth=0)
        ax.plot(steps, middle, color=shades[label], linestyle=linestyle, label=label)
    if log:
        ax.set_yscale("log")
    _steps_axis(ax, quantity)
    ax.set_ylabel(quantity.attrs.get("long_name", str(quantity.name)))


def over(
    ax: Axes,
    quantity: xr.DataArray,
    along: str,
    *,
    colour: str,
    line: str = "-",
    label: str | None = None,
) -> None:
    """Draw the median over seeds against another dimension, and a band from quartile to quartile.

    Parameters
    ----------
    quantity : with the dimension `along`, and seed if there are any; NaN where a seed has none.
    line : in Matplotlib's short form: "-", "o-".
    """
    there = quantity.dropna(along, how="all")
    if "seed" in there.dims:
        low, middle, high = there.quantile([0.25, 0.5, 0.75], "seed").values
        ax.fill_between(there[along], low, high, color=colour, alpha=0.15, linewidth=0)
    else:
        middle = there.values
    ax.plot(there[along], middle, line, color=colour, markersize=3.5, label=label)


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
