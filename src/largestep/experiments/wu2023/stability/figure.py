"""The figure of `stability`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["draw_stability"]

_SGD, _GD = "#b2182b", "#3b6fb6"


def draw_stability(results: Results) -> Figure:
    """Draw test loss against the bound on two data sets, and thresholds against batch size."""
    drawing, axes = figure(1, 3, size=(12, 3.6))
    for ax, prefix in ((axes[0], ""), (axes[1], "diagonal ")):
        _minima(ax, results, prefix)
    axes[0].set_title("uniform inputs, three ones", fontsize=9)
    axes[1].set_title("the data of diagonal", fontsize=9)
    _thresholds(axes[2], results)
    label_panels(axes)
    return drawing


def _minima(ax: Axes, results: Results, prefix: str) -> None:
    for name, shade, marker in (("sgd", _SGD, "o"), ("gd", _GD, "s")):
        ends = results[prefix + name].dataset.isel(step=-1)
        for schedule in ends.schedule.values:
            chosen = ends.sel(schedule=schedule)
            share = float(schedule) * chosen.curvature.sel(quantity="trace") / 2
            ax.scatter(share, chosen.test_loss, s=14, color=shade, marker=marker, alpha=0.6, lw=0)
            if bool(np.isfinite(share).any()):
                ax.annotate(
                    f"{schedule}",
                    (float(share.median()), float(chosen.test_loss.median())),
                    textcoords="offset points",
                    xytext=(6, 4),
                    fontsize=7,
                    color=shade,
                )
        ax.scatter([], [], color=shade, marker=marker, label=f"{name.upper()}, at its step size η")
    ax.axvline(1.0, color="black", linewidth=0.8, linestyle="--")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("η·tr(H)/2 at the end (SGD cannot stay beyond 1)")
    ax.set_ylabel("test loss at the end")
    ax.margins(x=0.15)
    ax.legend(fontsize=7, loc="lower right")


def _thresholds(ax: Axes, results: Results) -> None:
    thresholds = results["thresholds"].dataset.threshold.median("seed")
    for way, style in (
        ("exact", {"color": "black", "marker": "o"}),
        ("simulated", {"color": _SGD, "marker": "x", "linestyle": "none", "markersize": 7}),
        ("trace bound", {"color": "#7a7a7a", "linestyle": "--"}),
        ("2/λ_max", {"color": _GD, "linestyle": ":"}),
    ):
        ax.plot(thresholds.batch, thresholds.sel(way=way), label=way, **style)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xticks(thresholds.batch.values, [str(b) for b in thresholds.batch.values])
    ticks = [0.25, 0.5, 1, 2]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xlabel("batch size B")
    ax.set_ylabel("step size at which a minimum is lost")
    ax.legend(fontsize=7)
