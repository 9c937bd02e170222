"""The figures of the diagonal linear networks."""

import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels, legend_above

__all__ = ["draw_gd", "draw_measures"]


def draw_measures(dataset: xr.Dataset) -> Figure:
    """Draw losses, rank and coordinates over training, survival, and where every seed ends."""
    drawing, axes = figure(2, 3, size=(11, 6))
    curves.bands(axes[0], dataset.train_loss, log=True)
    curves.bands(axes[1], dataset.test_loss, log=True)
    curves.bands(axes[2], dataset.jacobian_rank.sel(threshold=1e-4))
    curves.bands(axes[2], dataset.jacobian_rank.sel(threshold=1e-15), thin=True)
    axes[2].set_ylabel("rank of the Jacobian\n(thick: above 10⁻⁴, thin: 10⁻¹⁵)")
    curves.bands(axes[3], dataset.nonzero_coordinates)
    curves.survival(axes[4], dataset)
    curves.ends(axes[5], dataset.nonzero_coordinates, dataset.test_loss, log="y")
    legend_above(drawing, axes[0])
    label_panels(axes)
    return drawing


def draw_gd(gd: xr.Dataset, sgd: xr.Dataset) -> Figure:
    """Draw losses, coordinates and survival, a row for GD and a row for SGD."""
    drawing, axes = figure(2, 4, size=(13, 6))
    for row, (name, dataset) in enumerate((("GD", gd), ("SGD", sgd))):
        panels = axes[4 * row : 4 * row + 4]
        curves.bands(panels[0], dataset.train_loss, log=True)
        panels[0].set_ylabel(f"{name}: training loss")
        curves.bands(panels[1], dataset.test_loss, log=True)
        curves.bands(panels[2], dataset.nonzero_coordinates)
        curves.survival(panels[3], dataset)
        panels[3].legend(
            *panels[0].get_legend_handles_labels(),
            title=f"{name}, step size η",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            handlelength=3,
        )
    label_panels(axes)
    return drawing
