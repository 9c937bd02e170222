"""The figure of `hold`: a row for each problem, a line for each way to train."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels, legend_above

__all__ = ["draw_rows"]


def draw_rows(
    rows: Mapping[str, Mapping[str, xr.Dataset]],
    sparsity: Callable[[xr.Dataset], xr.DataArray],
) -> Figure:
    """Draw step size, losses, sparsity and survival over training.

    Parameters
    ----------
    rows : {problem: {way to train: dataset with dimensions seed and step}}.
    sparsity : picks a dataset's measure of sparsity.
    """
    drawing, axes = figure(len(rows), 5, size=(15, 2.6 * len(rows) + 0.5))
    for row, (name, ways) in enumerate(rows.items()):
        panels = axes[5 * row : 5 * row + 5]
        together = xr.concat(
            list(ways.values()),
            xr.DataArray(list(ways), dims="schedule", name="schedule"),
            combine_attrs="drop_conflicts",
        )
        curves.bands(panels[0], together.step_size.where(together.step_size > 0), log=True)
        panels[0].set_ylabel(f"{name}:\nstep size η")
        curves.bands(panels[1], together.train_loss, log=True)
        curves.bands(panels[2], together.test_loss, log=True)
        curves.bands(panels[3], sparsity(together))
        curves.survival(panels[4], together)
        for panel in panels[1:3]:
            # A single survivor's early peak would hide the rest.
            low, high = panel.get_ylim()
            panel.set_ylim(low, min(high, np.float64(1e2)))
    legend_above(drawing, axes[0], "")
    label_panels(axes)
    return drawing
