"""The paper's panels for deep networks: loss, test error, sparsity of the last two stages."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels, legend_above

__all__ = ["draw_measures"]


def draw_measures(dataset: xr.Dataset) -> Figure:
    """Draw medians and quartiles over seeds of what was measured in training.

    Parameters
    ----------
    dataset : with dimensions schedule, seed, step and layer, as `Trained.results` has them.
    """
    drawing, axes = figure(2, 3, size=(11, 6))
    curves.bands(axes[0], dataset.train_loss, log=True)
    curves.bands(axes[1], (100 * dataset.test_error).assign_attrs(long_name="test error, %"))
    # The start, where the network guesses, would hide the rest.
    late = dataset.test_error.where(dataset.step > 0.1 * dataset.step[-1])
    axes[1].set_ylim(0, 1.05 * 100 * float(np.nanquantile(late, 0.98)))
    for panel, stage in zip(axes[2:4], dataset.layer.values[-2:], strict=True):
        curves.bands(panel, dataset.distinct.sel(layer=stage))
        panel.set_ylabel(f"feature sparsity, {stage}")
        panel.set_ylim(bottom=0)
    curves.bands(axes[4], dataset.step_size, log=True)
    curves.survival(axes[5], dataset)
    axes[5].set_ylabel("share of seeds still there")
    legend_above(drawing, axes[0], "step sizes:")
    label_panels(axes)
    return drawing
