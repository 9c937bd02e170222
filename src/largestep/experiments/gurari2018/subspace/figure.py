"""The figure of `subspace`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from largestep.figures import curves
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["draw_subspace"]

_LARGE, _SMALL, _FULL, _AGES = "#b2182b", "#3b6fb6", "#1a1a1a", "#7fa8d8"
_RUNS = {
    "SGD, 0.5": (_LARGE, "o-"),
    "SGD, 0.05": (_SMALL, "s-"),
    "SGD, 0.05, as long": (_AGES, "D-"),
    "GD, 0.5": (_FULL, "^--"),
}
_WAYS = {
    "plain": ("#1a1a1a", "-", "whole gradient"),
    "bulk": ("#2a7f4f", "-", "dominant part removed"),
    "dominant": (_LARGE, "-", "dominant part alone"),
}


def draw_subspace(results: Results) -> Figure:
    """Draw the gradient's share, learning without a part of it, overlaps, and batches' spectra."""
    drawing, axes = figure(1, 4, size=(15, 3.7))
    _share(axes[0], results)
    _learning(axes[1], results)
    _overlaps(axes[2], results)
    _batches(axes[3], results)
    label_panels(axes)
    return drawing


def _share(ax: Axes, results: Results) -> None:
    shares = results["confinement"].dataset.share
    for run, (shade, line) in _RUNS.items():
        curves.over(ax, shares.sel(run=run), "time", colour=shade, line=line, label=run)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("fraction of training")
    ax.set_ylabel("gradient's share in the top 9 directions")
    ax.legend(fontsize=7, loc="upper right", bbox_to_anchor=(1.0, 0.9), ncols=2, frameon=False)


def _learning(ax: Axes, results: Results) -> None:
    losses = results["learning"].dataset.loss
    relative = losses / losses.isel(step=0)
    for way, (shade, line, label) in _WAYS.items():
        curves.over(ax, relative.sel(way=way), "step", colour=shade, line=line, label=label)
    ax.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    ax.set_yscale("log")
    ax.set_yticks([0.25, 0.5, 1.0], ["0.25", "0.5", "1"])
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(0.25, 1.4)
    ax.set_xlabel("steps since step 100")
    ax.set_ylabel("training loss over that at step 100")
    ax.legend(fontsize=7, loc="lower left", frameon=False)


def _overlaps(ax: Axes, results: Results) -> None:
    overlaps = results["confinement"].dataset.overlap
    for column, run in enumerate(_RUNS):
        for directions, shade in (("dominant", _LARGE), ("next", "0.55")):
            values = overlaps.sel(run=run, directions=directions).values
            label = {"dominant": "top 9", "next": "the next 9"}[directions] if column == 0 else None
            jitter = np.linspace(-0.15, 0.15, len(values))
            ax.scatter(column + jitter, values, s=10, color=shade, alpha=0.6, lw=0, label=label)
            ax.plot([column - 0.25, column + 0.25], [np.nanmedian(values)] * 2, color=shade)
    ax.set_xticks(range(len(_RUNS)), [run.replace(", ", "\n") for run in _RUNS])
    ax.tick_params(axis="x", labelsize=7)
    ax.set_ylim(-0.02, 1.02)
    ax.set_ylabel("overlap, half of training apart")
    ax.legend(fontsize=7, loc="lower right", frameon=False)


def _batches(ax: Axes, results: Results) -> None:
    ratio = results["batches"].dataset.ratio
    curves.over(ax, ratio, "batch", colour=_LARGE, line="o-")
    ax.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    ax.set_xscale("log", base=2)
    ax.set_xticks(ratio.batch.values, [str(b) for b in ratio.batch.values])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("batch size B")
    ax.set_ylabel("λ₁ of a batch over that of all images")
