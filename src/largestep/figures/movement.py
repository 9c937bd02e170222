"""The picture of a model's movement since initialisation."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from largestep.figures.style import DEPTH, figure, label_panels

__all__ = ["draw_movement"]


def draw_movement(dataset: xr.Dataset) -> Figure:
    """Draw distance, patterns and kernel over training: the whole in black, layers by depth.

    Parameters
    ----------
    dataset : of a `deep.Probe` with `deep.Movement` among its measures.
    """
    drawing, axes = figure(1, 3, size=(12, 3.4))
    for ax, name in zip(axes, ("distance", "patterns_changed", "kernel_distance"), strict=True):
        for along in ("module", "layer"):
            if f"{name}_by_{along}" in dataset:
                _layers(ax, dataset[f"{name}_by_{along}"])
        ax.plot(dataset.step, dataset[name], color="black", linewidth=1.8)
        ax.set_ylabel(dataset[name].attrs["long_name"])
        ax.set_xlabel("steps")
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    depth = ScalarMappable(Normalize(0, 1), DEPTH)
    bar = drawing.colorbar(depth, ax=axes, ticks=[0, 1], label="layer")
    bar.ax.set_yticklabels(["first", "last"])
    label_panels(axes)
    return drawing


def _layers(ax: Axes, quantity: xr.DataArray) -> None:
    """Draw a thin curve for each layer, the later the darker."""
    (along,) = set(quantity.dims) - {"step"}
    for index in range(quantity.sizes[along]):
        shade = DEPTH(index / max(quantity.sizes[along] - 1, 1))
        ax.plot(quantity.step, quantity.isel({along: index}), color=shade, linewidth=0.9)
