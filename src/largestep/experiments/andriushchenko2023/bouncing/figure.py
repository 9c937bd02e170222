"""The figure of `bouncing`."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from largestep.figures.labels import readable
from largestep.figures.style import figure, label_panels

__all__ = ["draw_bouncing"]

_SMALL, _SLOW, _FAST, _NOISE = "#2f62ab", "#0f766e", "#b3261e", "#b07d00"


def draw_bouncing(paths: xr.Dataset, noisy: xr.Dataset, large: str) -> Figure:
    """Draw one path's fastest coordinate, the imbalance, the cosines, and noise against loss.

    Parameters
    ----------
    paths, noisy : what `compute` returns.
    large : the label of the large step's schedule.
    """
    drawing, axes = figure(1, 4, size=(15, 3.6))
    phase = paths.sel(schedule=large, step=slice(None, 0.5 * float(paths.step[-1])))
    axes[0].plot(phase.step, phase.fastest.isel(seed=0), color=_FAST, linewidth=0.8)
    axes[0].set_ylabel("position along the\nfastest direction, one seed")
    for label, colour in zip(paths.schedule.values, (_SMALL, _SLOW), strict=True):
        curves = paths.imbalance.sel(schedule=label, step=phase.step)
        axes[1].plot(phase.step, curves.transpose("step", "seed"), color=colour, linewidth=0.6)
        axes[1].plot([], [], color=colour, label=readable(label))
    axes[1].set_yscale("log")
    axes[1].set_ylabel(f"imbalance Σ|u² − v²|, {len(paths.seed)} seeds")
    axes[1].legend(fontsize=7, loc="lower left")
    for ax in axes[:2]:
        ax.set_xlabel("steps")
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    for x, (speed, colour) in enumerate((("slow", _SLOW), ("fast", _FAST))):
        cosines = paths.cosine.sel(schedule=large, speed=speed).values
        spread = np.linspace(-0.12, 0.12, len(cosines))
        axes[2].plot(x + spread, cosines, "o", color=colour, markersize=4, alpha=0.7)
    for level, word in ((1.0, "drift"), (0.0, "random walk"), (-0.5, "bouncing in place")):
        axes[2].axhline(level, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
        axes[2].text(0.5, level, word, ha="center", va="bottom", fontsize=7, color="0.4")
    axes[2].set_xticks([0, 1], ["slow", "fast"])
    axes[2].set_xlim(-0.4, 1.4)
    axes[2].set_ylim(-1.05, 1.15)
    axes[2].set_ylabel(f"cosine of two ways, {len(paths.seed)} seeds")
    for dataset, schedule, colour, marker, size, label in (
        (paths, large, _FAST, "o", 1.6, "SGD, large step"),
        (paths, paths.schedule.values[0], _SMALL, "x", 1.8, "SGD, small step"),
        (noisy, noisy.schedule.values[0], _NOISE, "+", 2.5, "small step, label noise"),
    ):
        chosen = dataset.sel(schedule=schedule)
        loss, noise = chosen.train_loss.values.ravel(), chosen.noise.values.ravel()
        shown = (loss > 1e-10) & (noise > 0)
        axes[3].plot(
            loss[shown][::7],
            noise[shown][::7],
            marker,
            color=colour,
            markersize=size,
            markeredgewidth=0.4,
            label=label,
            rasterized=True,
        )
    axes[3].set_xscale("log")
    axes[3].set_yscale("log")
    axes[3].set_xlabel("training loss")
    axes[3].set_ylabel("noise: trace of its covariance")
    axes[3].legend(fontsize=7, markerscale=4)
    label_panels(axes)
    return drawing
