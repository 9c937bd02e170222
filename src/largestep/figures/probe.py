"""What a probe saw: the loss, the sparsity of each layer, and how its units end."""

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep import metrics
from largestep.figures.style import figure, label_panels

__all__ = ["draw_probe", "units"]


def draw_probe(dataset: xr.Dataset) -> Figure:
    """Draw the dataset of a `deep.Probe`: training loss, feature sparsity, units at the end.

    Parameters
    ----------
    dataset : as `Probe.dataset` returns it.
    """
    drawing, axes = figure(1, 3, size=(11, 3.4))
    _loss(axes[0], dataset)
    shades = mpl.colormaps["viridis"](np.linspace(0.9, 0, dataset.sizes["layer"]))
    for name, shade in zip(dataset.layer.values, shades, strict=True):
        axes[1].plot(dataset.step, dataset.distinct.sel(layer=name), color=shade, label=name)
    axes[1].set_xlabel("steps")
    axes[1].set_ylabel("feature sparsity (lower is sparser)")
    axes[1].set_ylim(bottom=0)
    if dataset.sizes["layer"] <= 8:
        axes[1].legend(fontsize=7, frameon=False)
    units(axes[2], dataset.isel(step=-1))
    label_panels(axes)
    return drawing


def units(ax: Axes, layers: xr.Dataset) -> None:
    """Draw for each layer, as a bar, the shares of its units that are distinct, merged, dead.

    Parameters
    ----------
    layers : with dimension layer: merged, dead and units.
    """
    dead, merged = layers.dead / layers.units, layers.merged / layers.units
    left = np.zeros(layers.sizes["layer"])
    for share, label, shade in (
        (1 - dead - merged, "distinct", "#b2182b"),
        (merged, "duplicates", "#f4a582"),
        (dead, "dead", "#d9d9d9"),
    ):
        ax.barh(layers.layer.values, share, left=left, color=shade, label=label)
        left = left + share.fillna(0).values
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the layer's units")
    ax.tick_params(axis="y", labelsize=7)
    ax.grid(visible=False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=3, fontsize=7, frameon=False)


def _loss(ax: Axes, dataset: xr.Dataset) -> None:
    ax.set_xlabel("steps")
    ax.set_ylabel("training loss")
    loss = dataset.train_loss.values
    if not (loss > 0).any():
        return
    steps = dataset.loss_step.values
    ax.plot(steps, loss, color="#bbbbbb", linewidth=0.6)
    window = max(1, len(loss) // 100)
    smooth = dataset.train_loss.rolling(loss_step=window, center=True, min_periods=1).median()
    ax.plot(steps, smooth, color="#b2182b")
    ax.set_yscale("log")
    plateau = metrics.plateau(steps, loss)
    if plateau is not None:
        ax.axvspan(plateau.start, plateau.end, color="#b2182b", alpha=0.08, linewidth=0)
        ax.text(
            (plateau.start + plateau.end) / 2,
            0.97,
            f"plateau\n{plateau.level:.2g}",
            transform=ax.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=8,
        )
