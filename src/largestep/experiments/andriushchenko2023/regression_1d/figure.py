"""The figures of `regression-1d`."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import colours, figure, label_panels, legend_above
from largestep.problems import Problem

__all__ = ["draw_fits", "draw_measures"]


def draw_measures(dataset: xr.Dataset) -> Figure:
    """Draw loss, rank, feature sparsity and kinks over training, and survival."""
    drawing, axes = figure(1, 5, size=(15, 3.5))
    curves.bands(axes[0], dataset.train_loss, log=True)
    curves.bands(axes[1], dataset.jacobian_rank)
    curves.bands(axes[2], dataset.feature_sparsity)
    curves.bands(axes[3], dataset.kinks)
    curves.survival(axes[4], dataset)
    legend_above(drawing, axes[0], "step size:")
    label_panels(axes)
    return drawing


def draw_fits(predictions: xr.DataArray, problem: Problem, *, plateau_at: float) -> Figure:
    """Draw the fits at the start, on the plateau and at the end: medians and quartiles.

    Parameters
    ----------
    predictions : with dimensions schedule, seed, step and test_point.
    plateau_at : fraction of training at which the loss is on the plateau.
    """
    drawing, axes = figure(1, 3, size=(13, 4))
    measured = predictions.dropna("step", how="all")
    shades = colours(measured.schedule.values)
    steps = measured.step.values
    moments = {
        "start": 0,
        "plateau": int(np.searchsorted(steps, plateau_at * steps[-1], side="right")) - 1,
        "end": -1,
    }
    for ax, (moment, index) in zip(axes, moments.items(), strict=True):
        for label in measured.schedule.values:
            fits = measured.sel(schedule=label).isel(step=index).transpose("seed", "test_point")
            low, middle, high = np.nanquantile(fits.values, [0.25, 0.5, 0.75], axis=0)
            x = problem.test_inputs[:, 0]
            ax.fill_between(x, low, high, color=shades[label], alpha=0.18, linewidth=0)
            ax.plot(x, middle, color=shades[label], label=label)
        ax.plot(problem.x_train[:, 0], problem.y_train, "ko", markersize=4)
        ax.set_ylim(problem.y_train.min() - 1.5, problem.y_train.max() + 1.5)
        ax.set_xlabel("x")
        ax.set_ylabel(f"fit, {moment} (step {steps[index]})")
    legend_above(drawing, axes[0], "step size:")
    label_panels(axes)
    return drawing
