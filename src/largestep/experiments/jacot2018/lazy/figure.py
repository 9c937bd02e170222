"""The figure of `lazy`."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels

__all__ = ["draw_kernels"]

_BLUE, _RED = "#3b6fb6", "#b3261e"


def draw_kernels(ways: Mapping[str, xr.Dataset], grid: xr.Dataset) -> Figure:
    """Draw the kernel's distance over the width and the step size, and the curvature's fall.

    Parameters
    ----------
    ways : {parameterisation: dataset over seed, width and two kappas}, the first drawn in full.
    grid : dataset over seed and kappa.
    """
    drawing, axes = figure(1, 4, size=(14, 3.9))
    _over_widths(axes[0], ways)
    curves.over(axes[1], grid.kernel_distance, "kappa", colour=_BLUE, line="o-")
    axes[1].set_ylabel("kernel distance to the start")
    axes[1].set_yscale("log")
    curves.over(axes[2], grid.sharpness_ratio, "kappa", colour=_BLUE, line="o-")
    kappa = np.geomspace(2.0, 5.0, 50)
    axes[2].plot(kappa, 2.0 / kappa, color="black", linestyle=":", label="2/κ: stable below")
    axes[2].set_ylabel("λ at the end over λ at the start")
    axes[2].set_ylim(0.0, 1.1)
    axes[2].legend(loc="lower left", fontsize=8)
    share = grid.diverged_at.notnull().mean("seed")
    axes[3].plot(grid.kappa, share, "o-", color=_RED, markersize=4)
    axes[3].set_ylim(-0.03, 1.03)
    axes[3].set_ylabel("share of seeds that diverged")
    for ax in axes[1:]:
        ax.axvline(2.0, color="0.5", linewidth=0.9, linestyle="--")
        ax.set_xscale("log")
        ax.set_xlim(float(grid.kappa[0]), float(grid.kappa[-1]))
        ax.set_xticks([0.5, 1, 2, 4, 8, 16], ["0.5", "1", "2", "4", "8", "16"])
        ax.minorticks_off()
        ax.set_xlabel("κ, the step size times λ at the start")
    label_panels(axes)
    return drawing


def _over_widths(ax: Axes, ways: Mapping[str, xr.Dataset]) -> None:
    first = next(iter(ways.values()))
    shades = dict(zip(first.kappa.values, (_BLUE, _RED), strict=True))
    for kappa, shade in shades.items():
        ax.plot([], [], color=shade, label=f"κ = {kappa:g}")
    for (way, dataset), line in zip(ways.items(), ("-", "--"), strict=True):
        ax.plot([], [], line, color="0.3", label=way)
        for kappa, shade in shades.items():
            distance = dataset.kernel_distance.sel(kappa=kappa)
            curves.over(ax, distance, "width", colour=shade, line=line)
    ax.legend(loc="lower left", fontsize=7)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(first.width.values, [str(width) for width in first.width.values])
    ax.minorticks_off()
    ax.set_xlabel("width m")
    ax.set_ylabel("kernel distance to the start")
