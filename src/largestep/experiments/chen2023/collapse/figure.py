"""The figure of `collapse`."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from largestep.experiments.chen2023.collapse.compute import exponent
from largestep.figures import curves
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["draw_collapse"]

_RED, _BLUE, _GREY = "#b2182b", "#3b6fb6", "0.5"
_SHOWN = 0.02
_LEAST = 1e-60


def draw_collapse(results: Results, collapsed: xr.DataArray) -> Figure:
    """Draw where the origin attracts, trajectories on both sides, and neurons over training.

    Parameters
    ----------
    collapsed : whether each run of the scalar model has ended at the origin.
    """
    drawing, axes = figure(1, 4, size=(15, 3.7))
    _phases(axes[0], results["scalar"].dataset, collapsed)
    _trajectories(axes[1], results["scalar"].dataset)
    _neurons(axes[2], results["two dimensions"].dataset, "distinct", 0.1)
    axes[2].set_title("two dimensions", fontsize=9)
    _neurons(axes[3], results["ten dimensions"].dataset, "living", 0.01)
    axes[3].set_title("ten dimensions", fontsize=9)
    label_panels(axes)
    return drawing


def _phases(ax: Axes, scalar: xr.Dataset, collapsed: xr.DataArray) -> None:
    """Draw the share that has collapsed at each step size and strength, and both conditions."""
    shares = collapsed.mean("seed").transpose("step_size", "strength")
    etas, strengths = np.meshgrid(scalar.step_size, scalar.strength, indexing="ij")
    dots = ax.scatter(
        etas, strengths, c=shares, cmap="RdBu_r", vmin=0, vmax=1, s=55, edgecolors="0.3", lw=0.5
    )
    eta, strength = np.geomspace(0.008, 0.38, 50), np.geomspace(0.2, 5.0, 50)
    sign = [[exponent(e, float(np.sqrt(k / e))) for k in strength] for e in eta]
    ax.contour(eta, strength, np.array(sign).T, levels=[0.0], colors="black", linewidths=1.3)
    ax.axhline(1.0, color="black", linestyle="--", linewidth=0.9)
    ax.plot([], [], color="black", label="Λ = 0")
    ax.plot([], [], color="black", linestyle="--", linewidth=0.9, label="limit of small steps")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis, ticks in ((ax.xaxis, (0.01, 0.03, 0.1, 0.3)), (ax.yaxis, (0.25, 0.5, 1, 2, 4))):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
    ax.set_xlabel("step size η")
    ax.set_ylabel("noise ησ²")
    ax.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.02), ncols=2, frameon=False)
    bar = ax.figure.colorbar(dots, ax=ax)
    bar.set_label("share of starts that end at 0")


def _trajectories(ax: Axes, scalar: xr.Dataset) -> None:
    """Draw |θ| over time on both sides of the boundary, and the slopes that Λ says."""
    chosen = scalar.sel(step_size=_SHOWN)
    for strength, shade in ((0.75, _BLUE), (1.1, _RED)):
        sizes = chosen["size"].sel(strength=strength).transpose("seed", "moment").values
        shown = np.where(sizes > _LEAST, sizes, np.nan)
        for number, curve in enumerate(shown):
            label = f"ησ² = {strength:g}" if number == 0 else None
            ax.plot(chosen.moment, curve, color=shade, linewidth=0.7, alpha=0.6, label=label)
    ax.set_yscale("log")
    ax.set_ylim(bottom=_LEAST)
    ax.set_xlim(0.0, 0.5)
    ax.set_xlabel("fraction of training")
    ax.set_ylabel("|θ|; the minimum is at 1")
    ax.set_title(f"η = {_SHOWN:g}", fontsize=9)
    ax.legend(fontsize=7, loc="lower right", frameon=False)


def _neurons(ax: Axes, dataset: xr.Dataset, which: str, step_size: float) -> None:
    counts = dataset[which].sel(schedule=f"{step_size:g}")
    for sigma, shade, line in zip(counts.sigma.values, (_GREY, _BLUE, _RED), "o^s", strict=True):
        curves.over(
            ax,
            counts.sel(sigma=sigma),
            "time",
            colour=shade,
            line=f"{line}-",
            label=f"σ = {sigma:g}",
        )
    ax.set_ylim(0, 21)
    ax.set_xlabel("fraction of training")
    ax.set_ylabel(f"{which} neurons of 20, η = {step_size:g}")
    ax.set_yticks(range(0, 21, 5))
    ax.legend(fontsize=7, loc="center right", bbox_to_anchor=(1.0, 0.45), frameon=False)
