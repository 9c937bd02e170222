"""The map of fates on one parameter."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from largestep.figures.style import figure, label_panels

__all__ = ["draw_map"]

_LOOKS = {
    "converges": ("#2f62ab", ""),
    "stabilises": ("#f0b04c", "\\\\"),
    "diverges": ("#8f1d17", "//"),
    "undetermined": ("#d9dce0", ""),
}
"""Colour and hatching of each fate."""


def draw_map(sharpness: np.ndarray, rows: Mapping[str, tuple[xr.Dataset, np.ndarray]]) -> Figure:
    """Draw the shares of the three fates over the step size, and the theory's word below.

    Parameters
    ----------
    sharpness : values of a, evenly spaced.
    rows : {law of x: (shares, the theory's words)}.
    """
    drawing, axes = figure(1, len(rows), size=(12, 3.8))
    width = sharpness[1] - sharpness[0]
    for ax, (law, (shares, words)) in zip(axes, rows.items(), strict=True):
        base = np.zeros(len(sharpness))
        for fate in ("converges", "stabilises", "diverges"):
            share = shares[fate].values
            colour, hatch = _LOOKS[fate]
            edges = np.r_[sharpness - width / 2, sharpness[-1] + width / 2]
            ax.stairs(
                base + share,
                edges,
                baseline=base,
                fill=True,
                facecolor=colour,
                hatch=hatch,
                **_HATCHED,
            )
            base += share
        for word in dict.fromkeys(words):
            colour, hatch = _LOOKS[word]
            there = np.where(words == word, 0.06, 0.0) - 0.1
            ax.stairs(
                there, edges, baseline=-0.1, fill=True, facecolor=colour, hatch=hatch, **_HATCHED
            )
        ax.text(sharpness[0], -0.115, "theory", fontsize=7, va="top")
        ax.grid(visible=False)
        ax.set_xlim(sharpness[0] - width / 2, sharpness[-1] + width / 2)
        ax.set_ylim(-0.17, 1)
        ax.set_yticks([0, 0.5, 1])
        ax.set_xlabel("a = 2η·max(x²)·θ⋆²")
        ax.set_ylabel("share of starts")
        ax.set_title(law, fontsize=9)
    handles = [
        Patch(facecolor=colour, hatch=hatch, label=word, **_HATCHED)
        for word, (colour, hatch) in _LOOKS.items()
    ]
    drawing.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    label_panels(axes)
    return drawing


_HATCHED: Any = {"edgecolor": (1, 1, 1, 0.45), "linewidth": 0}
