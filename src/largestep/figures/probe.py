"""What a probe saw: the loss, the sparsity of each layer, and how its units end."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from largestep import metrics
from largestep.figures.style import DEPTH, figure, label_panels, plain

__all__ = ["draw_layers", "draw_probe"]


def draw_probe(dataset: xr.Dataset) -> Figure:
    """Draw the dataset of a `deep.Probe`: training loss, feature sparsity, units at the end.

    The colours of the layers stand beside their names.

    Parameters
    ----------
    dataset : as `Probe.dataset` returns it.
    """
    measured = "sharpness" in dataset
    layers = dataset.sizes["layer"]
    drawing, axes = figure(1, 3 + measured, size=(11 + 3 * measured, max(3.4, 1 + 0.15 * layers)))
    _loss(axes[0], dataset)
    _units(axes[2], dataset.isel(step=-1))
    axes[2].tick_params(axis="y", length=0, pad=12)
    for index, shade in enumerate(DEPTH(np.linspace(0, 1, layers))):
        axes[1].plot(dataset.step, dataset.distinct.isel(layer=index), color=shade)
        axes[2].plot(-0.04, index, "s", color=shade, markersize=4, clip_on=False)
    axes[1].set_xlabel("steps")
    axes[1].set_ylabel("feature sparsity (lower is sparser)")
    axes[1].set_ylim(bottom=0)
    if measured:
        axes[3].plot(dataset.step, dataset.sharpness, color="#3b6fb6")
        _logarithmic(axes[3])
        axes[3].set_xlabel("steps")
        axes[3].set_ylabel("sharpness: largest Hessian eigenvalue")
    label_panels(axes)
    return drawing


def draw_layers(layers: xr.Dataset) -> Figure:
    """Draw the layers of one model: feature sparsity, and what becomes of the units.

    Parameters
    ----------
    layers : with dimension layer: raw, distinct, merged, dead and units.
    """
    drawing, axes = figure(1, 2, size=(9, 1.4 + 0.28 * layers.sizes["layer"]))
    names = plain(layers.layer.values)
    axes[0].barh(names, layers.raw, color="#d9d9d9", label="active")
    axes[0].barh(names, layers.distinct, color="#b2182b", label="active, duplicates merged")
    axes[0].set_xlabel("share of activations: feature sparsity in red")
    _bars(axes[0], layers)
    _units(axes[1], layers)
    axes[1].set_yticklabels([])
    label_panels(axes)
    return drawing


def _units(ax: Axes, layers: xr.Dataset) -> None:
    """Draw for each layer, as a bar, the shares of its units that are distinct, merged, dead."""
    dead, merged = layers.dead / layers.units, layers.merged / layers.units
    left = np.zeros(layers.sizes["layer"])
    for share, label, shade in (
        (1 - dead - merged, "distinct", "#b2182b"),
        (merged, "duplicates", "#f4a582"),
        (dead, "dead", "#d9d9d9"),
    ):
        ax.barh(plain(layers.layer.values), share, left=left, color=shade, label=label)
        left = left + share.fillna(0).values
    ax.set_xlabel("share of the layer's units")
    _bars(ax, layers)


def _bars(ax: Axes, layers: xr.Dataset) -> None:
    """Lay out a panel of bars, the first layer on top."""
    ax.set_ylim(layers.sizes["layer"] - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.tick_params(axis="y", labelsize=7)
    ax.grid(visible=False)
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.2,
        ncols=3,
        fontsize=7,
        columnspacing=1.0,
        handlelength=1.2,
        frameon=False,
    )


def _logarithmic(ax: Axes) -> None:
    """Use a logarithmic scale that is labelled by plain numbers, also within a decade."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(_Plain())
    ax.yaxis.set_minor_formatter(_Plain(minor_thresholds=(1, 0.4)))


class _Plain(LogFormatter):
    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


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
    _logarithmic(ax)
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
