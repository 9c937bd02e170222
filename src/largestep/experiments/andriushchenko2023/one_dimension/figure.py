"""The map of fates on one parameter."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from largestep.figures.style import figure

__all__ = ["draw_map"]

_COLOURS = {
    "converges": "#3b6fb6",
    "stabilises": "#e8a33d",
    "diverges": "#b3261e",
    "undetermined": "#d9dce0",
}


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
            ax.bar(sharpness, share, width, bottom=base, color=_COLOURS[fate])
            base += share
        ax.bar(sharpness, 0.06, width, bottom=-0.1, color=[_COLOURS[word] for word in words])
        ax.text(sharpness[0], -0.115, "theory", fontsize=7, va="top")
        ax.grid(visible=False)
        ax.set_xlim(sharpness[0] - width / 2, sharpness[-1] + width / 2)
        ax.set_ylim(-0.17, 1)
        ax.set_yticks([0, 0.5, 1])
        ax.set_xlabel("a = 2η·max(x²)·θ⋆²")
        ax.set_ylabel("share of starts")
        ax.set_title(law, fontsize=9)
    handles = [Patch(color=colour, label=word) for word, colour in _COLOURS.items()]
    drawing.legend(handles=handles, loc="outside upper center", ncols=4)
    return drawing
