"""One look for every figure."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from largestep import _files

__all__ = [
    "DEPTH",
    "colours",
    "figure",
    "label_panels",
    "legend_above",
    "log_percentages",
    "plain",
    "write_figure",
]

_SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "svg.fonttype": "path",
    "svg.hashsalt": "largestep",
    "figure.constrained_layout.use": True,
}


DEPTH = ListedColormap(mpl.colormaps["viridis"](np.linspace(0.9, 0, 256)))
"""The colours of a network's layers, from the first to the last."""


def figure(rows: int, columns: int, *, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row."""
    with mpl.rc_context(_SETTINGS):
        drawing = Figure(figsize=size)
        axes = drawing.subplots(rows, columns, squeeze=False)
    return drawing, list(axes.ravel())


def colours(labels: Iterable[str]) -> dict[str, str]:
    """Return a colour for each schedule: blue for the first, the small step; then ever darker red.

    The longer the large-step phase, the darker, as in the paper.
    """
    small, *large = labels
    reds = mpl.colormaps["YlOrRd"]
    shades = {
        label: mpl.colors.to_hex(reds(0.45 + 0.5 * i / max(len(large) - 1, 1)))
        for i, label in enumerate(large)
    }
    return {small: "#3b6fb6", **shades}


def label_panels(axes: Iterable[Axes]) -> None:
    """Give every panel its letter."""
    for letter, ax in zip("abcdefghijklmnop", axes, strict=False):
        ax.set_title(letter, loc="left", fontweight="bold", fontsize=10)


def legend_above(drawing: Figure, ax: Axes, title: str = "step size η:") -> None:
    """Put the legend of one panel above the whole figure, in one row."""
    handles, labels = ax.get_legend_handles_labels()
    empty = Line2D([], [], linestyle="none")
    drawing.legend(
        [empty, *handles], [title, *labels], loc="outside upper center", ncols=len(labels) + 1
    )


def log_percentages(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2, 5, 10, …: errors span too few decades for powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def plain(names: Iterable[Any]) -> list[str]:
    """Return names as Matplotlib prints them as they are: a dollar sign begins no formula."""
    return [str(name).replace("$", r"\$") for name in names]


def write_figure(stem: Path, figure: Figure) -> None:
    """Write the figure as PNG and as SVG, each in one step."""
    for kind, options in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
        drawn = io.BytesIO()
        # The salt of the names in an SVG is read when it is written.
        with mpl.rc_context(_SETTINGS):
            figure.savefig(drawn, format=kind, **options)
        _files.write_bytes(stem.with_suffix(f".{kind}"), drawn.getvalue())
        # What the first drawing has laid out stays where it is.
        figure.set_layout_engine("none")
