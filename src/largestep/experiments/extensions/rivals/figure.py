"""The figure of `rivals`: sparsity against test loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels

__all__ = ["draw_rivals"]


_COLOURS = ("#2f62ab", "#a31515", "#e08a00", "#3f8f5f", "#7a4fa3", "#1a1a1a")
_MARKERS = "os^DvP"


def draw_rivals(problems: Mapping[str, xr.Dataset]) -> Figure:
    """Draw each rival's median and quartiles, and every seed, a panel for each problem.

    Rivals on SGD are filled, those on GD hollow and larger, so that none hides another.

    Parameters
    ----------
    problems : {name: dataset with sparsity and test_loss of dimensions (rival, seed)}.
    """
    drawing, axes = figure(1, len(problems), size=(13, 5.6))
    handles: dict[str, Any] = {}
    for ax, (name, ends) in zip(axes, problems.items(), strict=True):
        drawn = {True: 0, False: 0}
        for rival in ends.rival.values:
            on_sgd = "SGD" in rival
            number, drawn[on_sgd] = drawn[on_sgd], drawn[on_sgd] + 1
            colour, marker = (signs[number % len(signs)] for signs in (_COLOURS, _MARKERS))
            mine = ends.sel(rival=rival)
            usable = mine.test_loss.notnull().values
            if not usable.any():
                continue
            x, y = mine.sparsity.values[usable], mine.test_loss.values[usable]
            ax.plot(x, y, marker, markersize=2.5, color=colour, alpha=0.35, markeredgewidth=0)
            (x0, xm, x1), (y0, ym, y1) = (np.quantile(v, [0.25, 0.5, 0.75]) for v in (x, y))
            point = ax.errorbar(
                xm,
                ym,
                xerr=[[xm - x0], [x1 - xm]],
                yerr=[[ym - y0], [y1 - ym]],
                color=colour,
                marker=marker,
                markersize=7 if on_sgd else 10,
                markerfacecolor=colour if on_sgd else "none",
                markeredgewidth=1.6,
                linestyle="none",
            )
            handles.setdefault(str(rival), point)
            if not usable.all():
                ax.annotate(
                    f"n = {usable.sum()}",
                    (xm, ym),
                    xytext=(6, 6),
                    textcoords="offset points",
                    fontsize=7,
                    color=colour,
                )
        ax.set_yscale("log")
        ax.set_xlabel(
            "coordinates above 10⁻⁶ of the largest, end"
            if name == "diagonal"
            else "feature sparsity coefficient, end"
        )
        ax.set_ylabel("test loss, end")
        ax.set_title(name, fontsize=9)
    drawing.legend(
        list(handles.values()), list(handles), loc="outside upper center", ncols=4, frameon=False
    )
    label_panels(axes)
    return drawing
