"""Rows of panels for the ReLU networks."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels, legend_above

__all__ = ["draw_rows"]


def draw_rows(rows: Mapping[str, xr.Dataset]) -> Figure:
    """Draw, for each dynamics, losses, rank, feature sparsity of every layer, and survival."""
    first = next(iter(rows.values()))
    layers = sorted(str(name) for name in first if str(name).startswith("feature_sparsity"))
    drawing, axes = figure(len(rows), 4 + len(layers), size=(15, 3.2 * len(rows) + 0.4))
    columns = len(axes) // len(rows)
    for row, (name, dataset) in enumerate(rows.items()):
        panels = axes[row * columns : (row + 1) * columns]
        curves.bands(panels[0], dataset.train_loss, log=True)
        panels[0].set_ylabel(f"{name}: training loss")
        curves.bands(panels[1], dataset.test_loss, log=True)
        curves.bands(panels[2], dataset.jacobian_rank)
        for panel, layer in zip(panels[3:-1], reversed(layers), strict=True):
            curves.bands(panel, dataset[layer])
            if len(layers) > 1:
                depth = layer.removeprefix("feature_sparsity_")
                panel.set_ylabel(
                    f"feature sparsity, {'last layer' if depth == layer else f'layer {depth}'}"
                )
        curves.survival(panels[-1], dataset)
    legend_above(drawing, axes[0])
    label_panels(axes)
    return drawing
