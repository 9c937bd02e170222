"""What compaction left: of the layers of one network, and of many networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels, log_percentages, plain

__all__ = ["draw_compaction", "draw_experiment", "draw_smallest"]


def draw_compaction(report: Mapping[str, Any]) -> Figure:
    """Draw for each layer, as a bar, the units that are left and those that went, by reason.

    Parameters
    ----------
    report : as `CompactionReport.to_dict` returns it.
    """
    layers = report["layers"]
    drawing, (ax,) = figure(1, 1, size=(7, 1.6 + 0.19 * len(layers)))
    names = plain(layer["name"] for layer in layers)
    before = np.array([layer["before"] for layer in layers])
    left = np.zeros(len(layers))
    for part, label, shade in (
        ("after", "left", "#b2182b"),
        ("merged", "merged", "#f4a582"),
        ("constant", "constant", "#92c5de"),
        ("unread", "unread", "#969696"),
        ("dead", "dead", "#d9d9d9"),
    ):
        share = np.array([layer[part] for layer in layers]) / before
        ax.barh(names, share, left=left, color=shade, label=label)
        left = left + share
    for row, layer in enumerate(layers):
        ax.text(1.01, row, f"{layer['before']} → {layer['after']}", va="center", fontsize=7)
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the layer's units")
    ax.tick_params(axis="y", labelsize=7)
    ax.grid(visible=False)
    drawing.legend(loc="outside upper center", ncols=5, frameon=False)
    parameters = report["parameters_before"] / report["parameters_after"]
    latency = report["latency_before"] / report["latency_after"]
    ax.set_title(
        f"parameters ÷ {parameters:.2f}, latency ÷ {latency:.2f}, held-out outputs differ by "
        f"{report['held_out']['largest'] / (report['scale'] or 1.0):.1e} of the largest",
        fontsize=8,
    )
    return drawing


def draw_experiment(dataset: xr.Dataset) -> Figure:
    """Draw what compaction left of many networks: size, cost, test error, difference of outputs.

    Every seed is a point, their median a bar; a row is a schedule.

    Parameters
    ----------
    dataset : with dimensions schedule, seed and way, as experiment `compaction` has it.
    """
    drawing, axes = figure(1, 4, size=(13, 0.45 * dataset.sizes["schedule"] + 1.4))
    exact, close = dataset.sel(way="exact"), dataset.sel(way="close")
    _points(axes[0], {"exact": exact.parameters, "close": close.parameters})
    axes[0].set_xlabel("share of parameters left")
    _points(axes[1], {"multiply-adds": close.multiply_adds, "latency": close.latency})
    axes[1].axvline(1.0, color="#969696", linewidth=0.8)
    axes[1].set_xlabel("after over before, close")
    errors = {
        "original": close.error_before,
        "compacted": close.error,
        "pruned": close.pruned_error,
        "pruned and tuned": close.pruned_tuned_error,
    }
    _points(axes[2], {label: 100 * error for label, error in errors.items()})
    axes[2].set_xlabel("test error, %, close")
    axes[2].set_xscale("log")
    log_percentages(axes[2].xaxis)
    differences = {"held out": close.held_out_difference, "unseen": close.unseen_difference}
    _points(axes[3], differences)
    axes[3].set_xlabel("largest difference of outputs, relative, close")
    for ax in axes[1:]:
        ax.set_yticklabels([])
    label_panels(axes)
    return drawing


def draw_smallest(dataset: xr.Dataset) -> Figure:
    """Draw how small networks get at a small cost, by compaction and by pruning, and that cost.

    Parameters
    ----------
    dataset : with dimensions schedule, seed and way, as experiment `compaction-glyphs` has it.
    """
    drawing, axes = figure(1, 2, size=(9, 0.45 * dataset.sizes["schedule"] + 1.4))
    ways = {str(way): dataset.sel(way=way) for way in dataset.way.values}
    _points(axes[0], {way: 100 * found.parameters for way, found in ways.items()})
    axes[0].set_xlabel("parameters left, %")
    axes[0].set_xlim(0, 102)
    costs = {way: 100 * (found.error - found.error_before) for way, found in ways.items()}
    _points(axes[1], costs)
    axes[1].axvline(0.0, color="#969696", linewidth=0.8)
    axes[1].set_xlabel("test error after minus before, points, unseen letters")
    axes[1].set_yticklabels([])
    label_panels(axes)
    return drawing


def _points(ax: Axes, quantities: Mapping[str, xr.DataArray]) -> None:
    shades = ("#3b6fb6", "#b2182b", "#969696", "#f4a582")
    schedules = next(iter(quantities.values())).schedule.values
    for number, (label, quantity) in enumerate(quantities.items()):
        offset = 0.6 * ((number + 0.5) / len(quantities) - 0.5)
        rows = np.arange(len(schedules)) + offset
        values = quantity.transpose("schedule", "seed").values
        everywhere = np.repeat(rows[:, None], values.shape[1], axis=1)
        ax.scatter(
            values, everywhere, s=10, color=shades[number], alpha=0.6, linewidths=0, label=label
        )
        medians = quantity.median("seed", skipna=True).values
        ax.scatter(medians, rows, s=70, marker="|", color=shades[number])
    ax.set_yticks(np.arange(len(schedules)), schedules)
    ax.set_ylim(len(schedules) - 0.5, -0.5)  # the same rows in all panels
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=7, frameon=False)
