"""The picture of a sweep: one panel for each quantity over the plane of two settings."""

import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels

__all__ = ["draw_plane"]


def draw_plane(dataset: xr.Dataset, *, zero_loss: float) -> Figure:
    """Draw survival and the medians over surviving seeds, the plateau region outlined.

    Cells where no seed survived are grey. The outline encloses the cells where half of the seeds
    or more survive and the loss before the decay is above a thousandth of the zero predictor's.

    Parameters
    ----------
    dataset : as `sweep` returns it.
    zero_loss : training loss of the predictor that is zero.
    """
    x_name, y_name, _ = dataset.diverged_at.dims
    x, y = dataset[x_name].values, dataset[y_name].values
    survival = dataset.diverged_at.isnull().mean("seed")
    survival.attrs["long_name"] = "share of seeds not diverged"
    medians = {str(name): dataset[name].median("seed") for name in dataset}
    del medians["diverged_at"]
    panels = {"survival": survival, **medians}
    on_plateau = (survival >= 0.5) & (medians["plateau_loss"] > 1e-3 * zero_loss)

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
