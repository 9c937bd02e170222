"""Curves over training: medians and quartiles over the seeds that are still there."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from largestep.figures.labels import axis_label, readable
from largestep.figures.style import looks

__all__ = ["BANDS", "bands", "ends", "everyone_survives", "over", "survival"]


BANDS = (
    " Lines are medians over {seeds}, bands reach from quartile to quartile; where fewer than half "
    "of the seeds are left the line is dotted, and n says how many are."
)
"""What captions of such figures end with."""


def bands(ax: Axes, quantity: xr.DataArray, *, log: bool = False, thin: bool = False) -> None:
    """Draw, for each schedule, the median over seeds and a band from quartile to quartile.

    From where fewer than half of the seeds are left, the line is dotted, faded and has no band: it
    is a median of survivors. A line that has lost any seed says how many are left at its end, n.

    Parameters
    ----------
    quantity : with dimensions schedule, seed and step; NaN where nothing was measured.
    log : whether the axis is logarithmic.
    thin : whether these lines come second to others in the panel: no bands, no markers.
    """
    lost = []
    for number, (label, look) in enumerate(looks(quantity.schedule.values).items()):
        curve = quantity.sel(schedule=label).dropna("step", how="all")
        if curve.sizes["step"] == 0:
            continue
        steps = curve.step.values
        values = curve.transpose("seed", "step").values
        low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        left = np.isfinite(values).sum(axis=0)
        many = 2 * left >= len(values)
        style = {"color": look.colour, "linestyle": look.dashes}
        if thin:
            style |= {"linewidth": 0.7, "alpha": 0.7}
        else:
            ax.fill_between(
                steps, low, high, where=many, color=look.colour, alpha=0.15, linewidth=0
            )
            style |= {"marker": look.marker or None, "markersize": 3.5, "label": readable(label)}
            style["markevery"] = _marked(steps, number)
        ax.plot(steps, np.where(many, middle, np.nan), **style)
        if not many.all():
            # The last of the many is drawn by both lines: no gap between them.
            few = ~many | np.r_[~many[1:], False]
            faded = np.where(few, middle, np.nan)
            ax.plot(steps, faded, color=look.colour, linestyle=":", alpha=0.5, zorder=1)
        if left[-1] < len(values) and not thin:
            lost.append((float(middle[-1]), f"n = {left[-1]}", look.colour))
    if log:
        ax.set_yscale("log")
    _steps_axis(ax, quantity)
    ax.set_ylabel(axis_label(quantity.attrs.get("long_name", str(quantity.name))))
    _write_beside(ax, lost)


def _marked(steps: np.ndarray, number: int) -> list[int]:
    """Return where a schedule's markers are: its own places, as lines may lie on one another."""
    places = (0.04 + 0.035 * (number % 4) + np.arange(0.0, 0.96, 0.14)) * steps[-1]
    return sorted(set(np.searchsorted(steps, places[places < steps[-1]]).tolist()))


def _write_beside(ax: Axes, lost: list[tuple[float, str, str]]) -> None:
    """Write at the right end of lines, one above the other where they end close together."""
    if not lost:
        return
    points_high = 72 * ax.figure.get_figheight() * ax.get_position().height  # type: ignore[union-attr]
    least = 8 / points_high
    heights = [
        ax.transAxes.inverted().transform(ax.transData.transform((0, y)))[1] for y, *_ in lost
    ]
    floor = -np.inf
    for i in np.argsort(heights):
        floor = max(heights[i], floor + least)
        _, text, colour = lost[i]
        ax.text(1.01, floor, text, transform=ax.transAxes, va="center", fontsize=6.5, color=colour)


def everyone_survives(*datasets: xr.Dataset) -> bool:
    """Return whether no seed has diverged: then a panel on survival says nothing."""
    return all(bool(dataset.diverged_at.isnull().all()) for dataset in datasets)


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
    """Draw the share of seeds that have not diverged, over training; words if all survive."""
    if everyone_survives(dataset):
        ax.set_axis_off()
        words = f"All {dataset.sizes['seed']} seeds\nsurvive, under\nevery schedule."
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color="0.35")
        return
    diverged_at = dataset.diverged_at.fillna(np.inf)
    for number, (label, look) in enumerate(looks(dataset.schedule.values).items()):
        share = (diverged_at.sel(schedule=label) > dataset.step).mean("seed")
        ax.step(
            dataset.step,
            share,
            where="post",
            color=look.colour,
            linestyle=look.dashes,
            marker=look.marker or None,
            markersize=3.5,
            markevery=_marked(dataset.step.values, number),
        )
    ax.set_ylim(-0.03, 1.03)
    _steps_axis(ax, dataset.diverged_at.expand_dims(step=dataset.step))
    ax.set_ylabel("share of seeds not diverged")


def ends(ax: Axes, x: xr.DataArray, y: xr.DataArray, *, log: str = "") -> None:
    """Draw every seed at the end of training as a point, one quantity against another.

    Parameters
    ----------
    log : "x", "y" or "xy": the axes on a logarithmic scale.
    """
    for label, look in looks(x.schedule.values).items():
        ax.scatter(
            x.sel(schedule=label).isel(step=-1),
            y.sel(schedule=label).isel(step=-1),
            s=16,
            color=look.colour,
            marker=look.marker or "D",
            alpha=0.75,
            edgecolors="none",
        )
    # Matplotlib refuses a logarithmic axis on which nothing can be shown.
    if "x" in log and bool((x.isel(step=-1) > 0).any()):
        ax.set_xscale("log")
    if "y" in log and bool((y.isel(step=-1) > 0).any()):
        ax.set_yscale("log")
    ax.set_xlabel(axis_label(f"{x.attrs.get('long_name', x.name)}, end").replace("\n", " "))
    ax.set_ylabel(axis_label(f"{y.attrs.get('long_name', y.name)}, end"))


def _steps_axis(ax: Axes, quantity: xr.DataArray) -> None:
    ax.set_xlabel("steps")
    ax.set_xlim(0, float(quantity.step[-1]))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
