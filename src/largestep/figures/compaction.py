"""What a compaction left of each layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from largestep.figures.style import figure

__all__ = ["draw_compaction"]


def draw_compaction(report: Mapping[str, Any]) -> Figure:
    """Draw for each layer, as a bar, the units that are left and those that went, by reason.

    Parameters
    ----------
    report : as `CompactionReport.to_dict` returns it.
    """
    layers = report["layers"]
    drawing, (ax,) = figure(1, 1, size=(7, 1.6 + 0.19 * len(layers)))
    names = [layer["name"] for layer in layers]
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
