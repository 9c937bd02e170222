"""The figure of one deep training run."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from largestep.figures.style import colours, figure, label_panels, log_percentages

__all__ = ["draw_training"]


def draw_training(results: xr.Dataset) -> Figure:
    """Draw step size, training loss, errors and sparsity by stage over the steps.

    Parameters
    ----------
    results : of `largestep.deep.train`.
    """
    drawing, axes = figure(1, 4, size=(13, 2.9))
    _line(axes[0], results.step_size, log=True, drawstyle="steps-pre")
    _line(axes[1], results.running_loss, log=True, color="#b0b0b0", label="mini-batches")
    _line(axes[1], results.train_loss, log=True, label="evaluation mode")
    axes[1].set_ylabel("training loss")
    _line(axes[2], 100 * results.test_error, log=True, label="test")
    _line(axes[2], 100 * results.train_error, log=True, linestyle=":", label="training")
    if "averaged_test_error" in results:
        _line(axes[2], 100 * results.averaged_test_error, color="#c8553d", label="averaged, test")
    axes[2].set_ylabel("error, %")
    if axes[2].get_yscale() == "log":
        log_percentages(axes[2].yaxis)
    for stage, shade in colours(results.layer.values).items():
        _line(axes[3], results.distinct.sel(layer=stage), color=shade, label=stage)
    axes[3].set_ylabel("feature sparsity")
    axes[3].set_ylim(bottom=0)
    for panel in axes:
        panel.set_xlabel("steps")
        panel.set_xlim(0, float(results.step[-1]))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        for name, shade in (("diverged", "#c8553d"), ("collapsed", "#7a5195")):
            at = float(results[f"{name}_at"])
            if np.isfinite(at):
                panel.axvline(at, color=shade, linestyle="--", label=name)
        if len(panel.get_legend_handles_labels()[0]):
            panel.legend(fontsize=7)
    label_panels(axes)
    return drawing


def _line(ax: Axes, quantity: xr.DataArray, *, log: bool = False, **style: Any) -> None:
    seen = quantity.dropna("step")
    ax.plot(seen.step, seen, **{"color": "#3b6fb6", **style})
    if log and bool((seen > 0).any()):
        ax.set_yscale("log")
    ax.set_ylabel(str(quantity.attrs.get("long_name", quantity.name)))
