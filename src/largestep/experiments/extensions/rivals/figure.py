"""The figure of `rivals`: sparsity against test loss."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels

__all__ = ["draw_rivals"]


def draw_rivals(problems: Mapping[str, xr.Dataset]) -> Figure:
    """Draw each rival's median and quartiles, and every seed, a panel for each problem.

    Parameters
    ----------
    problems : {name: dataset with sparsity and test_loss of dimensions (rival, seed)}.
    """
    drawing, axes = figure(1, len(problems), size=(13, 5.2))
    for ax, (name, ends) in zip(axes, problems.items(), strict=True):
        shades = mpl.colormaps["tab20"]
        for number, rival in enumerate(ends.rival.values):
            mine = ends.sel(rival=rival)
            usable = mine.test_loss.notnull().values
            if not usable.any():
                continue
            x, y = mine.sparsity.values[usable], mine.test_loss.values[usable]
            colour = shades(number)
            ax.scatter(x, y, s=8, color=colour, alpha=0.35, edgecolors="none")
            (x0, xm, x1), (y0, ym, y1) = (np.quantile(v, [0.25, 0.5, 0.75]) for v in (x, y))
            survived = "" if usable.all() else f" ({usable.mean():.0%} survive)"
            ax.errorbar(
                xm,
                ym,
                xerr=[[xm - x0], [x1 - xm]],
                yerr=[[ym - y0], [y1 - ym]],
                color=colour,
                marker="o",
                markersize=7,
                label=f"{rival}{survived}",
            )
        ax.set_yscale("log")
        ax.set_xlabel("coordinates" if name == "diagonal" else "feature sparsity coefficient")
        ax.set_ylabel("test loss, end")
        ax.set_title(name, fontsize=9)
        ax.legend(fontsize=7)
    label_panels(axes)
    return drawing
