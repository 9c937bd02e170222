"""The picture of a sweep: one panel for each quantity over the plane of two settings."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy import ndimage

from largestep.dynamics.refinement import PLATEAU, regions
from largestep.figures.style import figure, label_panels

__all__ = ["draw_plane", "draw_planes"]


def draw_planes(dataset: xr.Dataset, *, zero_loss: float) -> Iterator[tuple[str, Figure]]:
    """Yield the figure of each plane, with a name for its file: one for all values of other axes.

    Parameters
    ----------
    dataset : as `sweep` returns it.
    zero_loss : training loss of the predictor that is zero.
    """
    others = [str(name) for name in dataset.diverged_at.dims[2:-1]]
    for values in product(*(dataset[name].values for name in others)):
        at = dict(zip(others, values, strict=True))
        name = "-".join(["figure", *(f"{other}={value:.6g}" for other, value in at.items())])
        yield name, draw_plane(dataset.sel(at), zero_loss=zero_loss)


def draw_plane(dataset: xr.Dataset, *, zero_loss: float) -> Figure:
    """Draw survival and the medians over surviving seeds, the plateau region outlined.

    Cells where no seed survived are grey. The outline encloses the `regions` on a plateau. What a
    refined sweep has not computed is shown as the nearest point that it has.

    Parameters
    ----------
    dataset : as `sweep` returns it.
    zero_loss : training loss of the predictor that is zero.
    """
    x_name, y_name, _ = dataset.diverged_at.dims
    if "computed" in dataset:
        dataset = _filled(dataset)
    x, y = dataset[x_name].values, dataset[y_name].values
    survival = dataset.diverged_at.isnull().mean("seed")
    survival.attrs["long_name"] = "share of seeds not diverged"
    medians = {str(name): dataset[name].median("seed") for name in dataset}
    del medians["diverged_at"]
    panels = {"survival": survival, **medians}
    on_plateau = regions(dataset, zero_loss) == PLATEAU

    rows = -(-len(panels) // 3)
    drawing, axes = figure(rows, 3, size=(13, 3.7 * rows))
    for ax, (name, values) in zip(axes, panels.items(), strict=False):
        shown = values.transpose(y_name, x_name).values
        positive = shown[np.isfinite(shown) & (shown > 0)]
        log = "loss" in name and positive.size > 0
        mesh = ax.pcolormesh(
            x,
            y,
            shown,
            shading="nearest",
            cmap="viridis",
            norm=LogNorm(positive.min(), positive.max()) if log else None,
        )
        ax.set_facecolor("0.85")
        if min(len(x), len(y)) > 1:
            inside = on_plateau.transpose(y_name, x_name).values.astype(float)
            if 0 < inside.mean() < 1:
                ax.contour(x, y, inside, levels=[0.5], colors="white", linewidths=1.2)
        long_name = values.attrs.get("long_name") or dataset[name].attrs["long_name"]
        drawing.colorbar(mesh, ax=ax, label=long_name)
        ax.grid(visible=False)
        ax.set_xlabel(str(x_name).replace("_", " "))
        ax.set_ylabel(str(y_name).replace("_", " "))
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    label_panels(axes[: len(panels)])
    return drawing


def _filled(dataset: xr.Dataset) -> xr.Dataset:
    """Return the data with what was not computed as the nearest point has it."""
    nearest = ndimage.distance_transform_edt(  # type: ignore[attr-defined]
        ~dataset.computed.values, return_distances=False, return_indices=True
    )
    places = [xr.DataArray(index, dims=dataset.computed.dims) for index in nearest]
    taken = dataset.isel(dict(zip(dataset.computed.dims, places, strict=True)))
    return taken.drop_vars("computed").assign_coords(dataset.coords)
