"""One look for every figure."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
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
from largestep.figures.svg import compact

__all__ = [
    "DEPTH",
    "Look",
    "colours",
    "figure",
    "label_panels",
    "legend_above",
    "log_percentages",
    "looks",
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


@dataclass(frozen=True)
class Look:
    """How a line is told from others: by colour, and without it by dashes and markers."""

    colour: str
    dashes: Any
    marker: str


_HELD = ("HoldLoss", "LossStabilization")
_MARKERS = "os^DvPX"


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """Return a look for each schedule: blue dashes for the first, the small step.

    Then ever darker red, each with a marker of its own: the longer the large-step phase, the
    darker, as in the paper. Step sizes that set themselves are black.
    """
    small, *others = labels
    large = [label for label in others if label not in _HELD]
    reds = mpl.colormaps["YlOrRd"]
    found = {small: Look("#2f62ab", (0, (5, 2)), "")}
    for i, label in enumerate(large):
        shade = mpl.colors.to_hex(reds(0.45 + 0.5 * i / max(len(large) - 1, 1)))
        found[label] = Look(shade, "-", _MARKERS[i % len(_MARKERS)])
    for label in others:
        if label in _HELD:
            found[label] = Look("#1a1a1a", (0, (6, 1.5, 1, 1.5)), "")
    return found


def colours(labels: Iterable[str]) -> dict[str, str]:
    """Return the colour of each schedule's look."""
    return {label: look.colour for label, look in looks(labels).items()}


def label_panels(axes: Iterable[Axes]) -> None:
    """Give every panel its letter."""
    for letter, ax in zip(ascii_lowercase, axes, strict=False):
        ax.set_title(letter, loc="left", fontweight="bold", fontsize=10)


def legend_above(drawing: Figure, ax: Axes, title: str = "step size η:") -> None:
    """Put the legend of one panel above the whole figure, in as few rows as its width allows."""
    handles, labels = ax.get_legend_handles_labels()
    if title:
        handles, labels = [Line2D([], [], linestyle="none"), *handles], [title, *labels]
    for rows in range(1, len(labels) + 1):
        legend = drawing.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=-(-len(labels) // rows),
            frameon=False,
            handlelength=3,
        )
        if rows == len(labels) or legend.get_window_extent().width <= drawing.bbox.width:
            break
        legend.remove()


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
        content = drawn.getvalue()
        if kind == "svg":
            content = compact(content.decode()).encode()
        _files.write_bytes(stem.with_suffix(f".{kind}"), content)
        # What the first drawing has laid out stays where it is. (The engine "none" would still
        # have Matplotlib draw twice, once for the layout.)
        figure.set_layout_engine(None)
