"""What a probe saw: the loss, the sparsity of each layer, how its units end, and all else."""

from itertools import cycle
from textwrap import wrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from largestep import metrics
from largestep.figures.style import DEPTH, figure, label_panels, plain

__all__ = ["draw_layers", "draw_probe"]


def draw_probe(dataset: xr.Dataset) -> Figure:
    """Draw the dataset of a `deep.Probe`: loss, feature sparsity, units at the end, and all else.

    What measures call alike is in one panel, with standard errors as bands; layers and modules have
    thin curves, the later the darker; a spectrum is a map. The colours of the layers stand beside
    their names.

    Parameters
    ----------
    dataset : as `Probe.dataset` returns it.
    """
    sparse = {"distinct", "raw", "dead", "merged", "units"} <= set(dataset)
    panels = _panels(dataset, {"distinct", "raw", "dead", "merged", "units"} if sparse else set())
    count = 1 + 2 * sparse + len(panels)
    columns = min(count, 4)
    rows = -(-count // columns)
    layers = dataset.sizes["layer"] if sparse else 0
    height = max(3.4, 1 + 0.15 * layers)
    drawing, axes = figure(
        rows, columns, size=(11 / 3 * columns, height + 3.0 * (rows - 1) if rows > 1 else height)
    )
    _loss(axes[0], dataset)
    if sparse:
        _units(axes[2], dataset.isel(step=-1))
        axes[2].tick_params(axis="y", length=0, pad=12)
        for index, shade in enumerate(DEPTH(np.linspace(0, 1, layers))):
            layer = dataset.isel(layer=index)
            axes[1].plot(dataset.step, layer.distinct, color=shade)
            axes[1].plot(dataset.step, layer.raw, ":", color=shade, linewidth=0.8)
            axes[2].plot(-0.04, index, "s", color=shade, markersize=4, clip_on=False)
        axes[1].set_xlabel("steps")
        axes[1].set_ylabel("feature sparsity (dotted: active units)")
        axes[1].set_ylim(bottom=0)
    for ax, (label, names) in zip(axes[1 + 2 * sparse :], panels.items(), strict=False):
        _panel(ax, dataset, label, names)
    for ax in axes[count:]:
        ax.remove()
    label_panels(axes[:count])
    return drawing


_BESIDE = {"edge": ("sharpness", "batch_sharpness"), "batch_size": ("noise_scale",)}
"""What is drawn as a dashed line in the panels of others."""
_STYLES = ("-", "--", ":", "-.")
_COLOURS = ("#3b6fb6", "#b2182b", "#1a1a1a", "#d98c00")


def _panels(dataset: xr.Dataset, drawn: set[str]) -> dict[str, list[str]]:
    """Return the quantities that have a panel, those that are called alike in the same one."""
    found: dict[str, list[str]] = {}
    for name in map(str, dataset.data_vars):
        beside = any(other in dataset for other in _BESIDE.get(name, ()))
        whole = name.partition("_by_")[0]
        if (
            name not in drawn | {"train_loss"}
            and not beside
            and not (name.endswith("_error") and name.removesuffix("_error") in dataset)
            and (whole == name or whole not in dataset)
        ):
            found.setdefault(dataset[name].attrs.get("long_name", name), []).append(name)
    return found


def _panel(ax: Axes, dataset: xr.Dataset, label: str, names: list[str]) -> None:
    ax.set_xlabel("steps")
    ax.set_ylabel("\n".join(wrap(plain([label])[0], 34)))
    if dataset[names[0]].dims[1:] == ("eigenvalue",):
        _map(ax, dataset[names[0]].dropna("step", how="all"))
        return
    shown = []
    for name, style, colour in zip(names, cycle(_STYLES), cycle(_COLOURS), strict=False):
        whole = dataset[name]
        for by in (n for n in map(str, dataset.data_vars) if n.startswith(f"{name}_by_")):
            shown += _layers(ax, dataset[by], "-", 0.7)
        if whole.ndim == 2:
            shown += _layers(ax, whole, style, 1.0)
            if len(names) > 1:
                ax.plot([], [], style, color="black", label=name)
            continue
        steps, values = _known(whole)
        if f"{name}_error" in dataset:
            error = dataset[f"{name}_error"].sel(step=steps).fillna(0.0).values
            ax.fill_between(steps, values - error, values + error, color=colour, alpha=0.2, lw=0)
        marker = "o" if len(values) == 1 else ""
        ax.plot(steps, values, marker=marker, color=colour, label=name)
        shown.append(values)
    for name in (n for n, others in _BESIDE.items() if n in dataset and set(others) & set(names)):
        steps, values = _known(dataset[name])
        ax.plot(steps, values, "--", color="black", linewidth=0.9, label=name.replace("_", " "))
        shown.append(values)
    if len(ax.get_legend_handles_labels()[1]) > 1:
        ax.legend(fontsize=7)
    values = np.concatenate([np.empty(0), *shown])
    if values.size and values.min() > 0 and 100 < values.max() / values.min() < 1e10:
        _logarithmic(ax)


def _known(quantity: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps at which a quantity is finite, and its values there."""
    known = np.isfinite(quantity.values)
    return quantity.step.values[known], quantity.values[known]


def _layers(ax: Axes, quantity: xr.DataArray, style: str, width: float) -> list[np.ndarray]:
    """Draw a thin curve for each layer, the later the darker; return what was drawn."""
    shown = []
    shades = DEPTH(np.linspace(0, 1, quantity.shape[1]))
    for one, shade in zip(quantity.values.T, shades, strict=True):
        known = np.isfinite(one)
        ax.plot(quantity.step.values[known], one[known], style, color=shade, linewidth=width)
        shown.append(one[known])
    return shown


def _map(ax: Axes, spectrum: xr.DataArray) -> None:
    """Draw shares of eigenvalues over the steps, from the smallest interval that holds any."""
    held = np.flatnonzero((spectrum > 0).any("step").values)
    if not held.size:
        return
    spectrum = spectrum.isel(eigenvalue=slice(held[0], held[-1] + 1))
    drawn = ax.pcolormesh(
        np.arange(spectrum.sizes["step"] + 1),
        np.arange(spectrum.sizes["eigenvalue"] + 1),
        spectrum.where(spectrum > 0).values.T,
        norm=LogNorm(max(float(spectrum.where(spectrum > 0).min()), 1e-6), 1.0),
        cmap="viridis_r",
    )
    ticks = np.linspace(0, spectrum.sizes["step"] - 1, min(spectrum.sizes["step"], 5)).astype(int)
    ax.set_xticks(ticks + 0.5, [str(step) for step in spectrum.step.values[ticks]])
    names = [name.partition(" to ")[0] for name in spectrum.eigenvalue.values]
    ax.set_yticks(np.arange(len(names)), names, fontsize=6)
    ax.set_ylabel("Hessian eigenvalue (from)")
    ax.grid(visible=False)
    assert ax.figure is not None
    ax.figure.colorbar(drawn, ax=ax, label="share of eigenvalues")


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
