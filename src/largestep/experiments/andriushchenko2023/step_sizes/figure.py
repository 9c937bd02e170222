"""The figure of `step-sizes`: loss, error and sparsity over the step size."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures.labels import axis_label
from largestep.figures.style import figure, label_panels, legend_above

__all__ = ["draw_window"]

_SWEEP, _HELD = "#b3261e", "#3b6fb6"


def draw_window(
    rows: Mapping[str, tuple[xr.Dataset, float, xr.Dataset]],
    sparsity: Callable[[xr.Dataset], xr.DataArray],
    step_size: Callable[[xr.Dataset], np.ndarray],
    window: float,
) -> Figure:
    """Draw medians and quartiles over the step size in units of the threshold.

    Parameters
    ----------
    rows : {problem: (the sweep, its threshold, HoldLoss's runs)}.
    sparsity : picks a dataset's measure of sparsity.
    step_size : of HoldLoss's runs, one for each seed.
    window : how far the window reaches above the threshold.
    """
    drawing, axes = figure(len(rows), 3, size=(12, 3.2 * len(rows) + 0.3))
    for row, (name, (sweep, threshold, held)) in enumerate(rows.items()):
        panels = axes[3 * row : 3 * row + 3]
        relative = sweep.eta.values / threshold
        late = sweep.train_loss.isel(step=slice(None, -1)).median("step")
        held_late = held.train_loss.isel(step=slice(None, -1)).median("step")
        for ax, values, point in (
            (panels[0], late, held_late),
            (panels[1], sweep.test_loss.isel(step=-1), held.test_loss.isel(step=-1)),
            (panels[2], sparsity(sweep).isel(step=-1), sparsity(held).isel(step=-1)),
        ):
            low, middle, high = np.nanquantile(
                values.transpose("seed", "schedule").values, [0.25, 0.5, 0.75], axis=0
            )
            ax.axvspan(1.0, window, color="#e8a33d", alpha=0.18, linewidth=0)
            ax.fill_between(relative, low, high, color=_SWEEP, alpha=0.15, linewidth=0)
            ax.plot(
                relative, middle, "o-", color=_SWEEP, markersize=3, label="constant, then small"
            )
            ax.plot(
                step_size(held) / threshold,
                point.values,
                "D",
                color=_HELD,
                markersize=4,
                alpha=0.6,
                label="HoldLoss, each seed",
            )
            ax.set_xlabel(f"step size η over the threshold, {threshold:g}")
        for ax in panels[:2]:
            ax.set_yscale("log")
        panels[0].set_ylabel(f"{name}: training loss\nlate in the phase")
        panels[1].set_ylabel("test loss, end")
        sparse = sparsity(sweep).attrs.get("long_name", "sparsity")
        panels[2].set_ylabel(axis_label(f"{sparse}, end"))
    legend_above(drawing, axes[0], "")
    label_panels(axes)
    return drawing
