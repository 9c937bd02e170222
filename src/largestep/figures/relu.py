"""Rows of panels for the ReLU networks."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels, legend_above

__all__ = ["draw_rows"]


def draw_rows(rows: Mapping[str, xr.Dataset]) -> Figure:
    """Draw, for each dynamics, losses, rank, feature sparsity of every layer, and survival."""
    first = next(iter(rows.values()))
    layers = sorted(str(name) for name in first if str(name).startswith("feature_sparsity"))
    shows_survival = not curves.everyone_survives(*rows.values())
    columns = 3 + len(layers) + shows_survival
    drawing, axes = figure(len(rows), columns, size=(15, 3.1 * len(rows) + 0.4))
    for row, (name, dataset) in enumerate(rows.items()):
        panels = axes[row * columns : (row + 1) * columns]
        curves.bands(panels[0], dataset.train_loss, log=True)
        panels[0].set_ylabel(f"{name}: training loss")
        curves.bands(panels[1], dataset.test_loss, log=True)
        for panel, quantity in zip(panels, ("train_loss", "test_loss"), strict=False):
            _without_spikes(panel, dataset[quantity])
        curves.bands(panels[2], dataset.jacobian_rank)
        for panel, layer in zip(panels[3:], reversed(layers), strict=False):
            curves.bands(panel, dataset[layer])
            if len(layers) > 1:
                depth = layer.removeprefix("feature_sparsity_")
                panel.set_ylabel(
                    f"feature sparsity,\n{'last layer' if depth == layer else f'layer {depth}'}"
                )
        if shows_survival:
            curves.survival(panels[-1], dataset)
    legend_above(drawing, axes[0])
    label_panels(axes)
    return drawing


def _without_spikes(panel: Axes, loss: xr.DataArray) -> None:
    """End the axis a little above where the loss starts: one run's spike would hide the rest."""
    start = float(loss.isel(step=0).median())
    low, high = panel.get_ylim()
    panel.set_ylim(low, min(high, 3 * start) if start > 0 else high)
