"""The figures of `regression-1d`."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.labels import readable
from largestep.figures.style import figure, label_panels, legend_above, looks
from largestep.problems import Problem

__all__ = ["draw_fits", "draw_measures"]


_FITS = 3
"""How many seeds' fits are drawn: a median of functions is no network's."""


def draw_measures(dataset: xr.Dataset) -> Figure:
    """Draw loss, rank, sparsity and kinks over training, and survival if any seed diverges."""
    shows_survival = not curves.everyone_survives(dataset)
    drawing, axes = figure(1, 4 + shows_survival, size=(15, 3.5))
    curves.bands(axes[0], dataset.train_loss, log=True)
    curves.bands(axes[1], dataset.jacobian_rank)
    curves.bands(axes[2], dataset.feature_sparsity)
    curves.bands(axes[3], dataset.kinks)
    if shows_survival:
        curves.survival(axes[4], dataset)
    legend_above(drawing, axes[0], "step size:")
    label_panels(axes)
    return drawing


def draw_fits(predictions: xr.DataArray, problem: Problem, *, plateau_at: float) -> Figure:
    """Draw single networks' fits at the start, on the plateau and at the end.

    Parameters
    ----------
    predictions : with dimensions schedule, seed, step and test_point; the first seeds are drawn.
    plateau_at : fraction of training at which the loss is on the plateau.
    """
    drawing, axes = figure(1, 3, size=(13, 4))
    measured = predictions.isel(seed=slice(_FITS)).dropna("step", how="all")
    steps = measured.step.values
    plateau = int(np.searchsorted(steps, plateau_at * steps[-1], side="right")) - 1
    x = problem.test_inputs[:, 0]
    starts = measured.isel(schedule=0, step=0).transpose("test_point", "seed")
    axes[0].plot(x, starts, color="0.45", linewidth=0.9)
    axes[0].set_ylabel("fit at the start")
    for ax, index, moment in ((axes[1], plateau, "on the plateau"), (axes[2], -1, "at the end")):
        for label, look in looks(measured.schedule.values).items():
            fits = measured.sel(schedule=label).isel(step=index).transpose("test_point", "seed")
            lines = ax.plot(
                x, fits, color=look.colour, linestyle=look.dashes, linewidth=1.0, alpha=0.85
            )
            lines[0].set_label(readable(label))
        ax.set_ylim(problem.y_train.min() - 1.5, problem.y_train.max() + 1.5)
        ax.set_ylabel(f"fit {moment}, step {steps[index]}")
    for ax in axes:
        ax.plot(problem.x_train[:, 0], problem.y_train, "ko", markersize=4, zorder=5)
        ax.set_xlabel("x")
    legend_above(drawing, axes[1], "step size:")
    label_panels(axes)
    return drawing
