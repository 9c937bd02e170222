"""The slice of the loss surface with paths on it, still and moving."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.figures.style import figure

__all__ = ["animate_paths", "draw_surface"]

_COLOURS = ("#2f6f4f", "#3b6fb6", "#b3261e")
_FRAMES = 48


def draw_surface(plane: xr.Dataset, paths: Mapping[str, np.ndarray], goal: np.ndarray) -> Figure:
    """Draw contours of the train and of the test loss, and the paths.

    Parameters
    ----------
    plane : losses with dimensions (y, x).
    paths : {name: (steps, 2) coordinates}.
    goal : (2,) coordinates of the truth.
    """
    drawing, axes = figure(1, 2, size=(11, 5.2))
    for ax, name in zip(axes, ("train_loss", "test_loss"), strict=True):
        _contours(ax, plane, name, goal)
        _lines(ax, paths)
        for path, colour in zip(paths.values(), _COLOURS, strict=True):
            ax.plot(*path[-1], "o", color=colour, markersize=6, zorder=5)
    _legend(drawing, paths)
    return drawing


def animate_paths(
    plane: xr.Dataset, paths: Mapping[str, np.ndarray], goal: np.ndarray, file: Path
) -> None:
    """Write a GIF in which the paths grow over the contours of the train loss."""
    drawing, (ax,) = figure(1, 1, size=(6, 5.4))
    _contours(ax, plane, "train_loss", goal)
    lines = _lines(ax, paths)
    heads = [
        ax.plot([], [], "o", color=colour, markersize=6, zorder=5)[0]
        for colour, _ in zip(_COLOURS, paths, strict=True)
    ]
    _legend(drawing, paths)
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")

    def show(frame: int) -> list[Line2D]:
        for line, head, path in zip(lines, heads, paths.values(), strict=True):
            # The start is quick: frames are spaced geometrically over the recorded steps.
            shown = max(2, round(len(path) ** (frame / (_FRAMES - 1))))
            line.set_data(*path[:shown].T)
            head.set_data(*path[shown - 1 : shown].T)
        return [*lines, *heads]

    animation = FuncAnimation(drawing, show, frames=_FRAMES)
    animation.save(file, writer=PillowWriter(fps=12), dpi=75)


def _contours(ax: Axes, plane: xr.Dataset, name: str, goal: np.ndarray) -> None:
    values = plane[name].values
    levels = np.geomspace(max(values.min(), 1e-3), values.max(), 24)
    ax.contour(plane.x, plane.y, values, levels=levels, colors="0.72", linewidths=0.6)
    ax.plot(0, 0, "o", color="black", markersize=5)
    ax.plot(*goal, "*", color="black", markersize=11, zorder=6)
    ax.set_xlim(plane.x.min(), plane.x.max())
    ax.set_ylim(plane.y.min(), plane.y.max())
    ax.grid(visible=False)
    ax.set_title({"train_loss": "training loss", "test_loss": "test loss"}[name], fontsize=9)
    ax.set_xlabel("towards the truth")
    ax.set_ylabel("towards gradient flow's end")


def _lines(ax: Axes, paths: Mapping[str, np.ndarray]) -> list[Line2D]:
    return [
        ax.plot(*path.T, color=colour, linewidth=0.9, alpha=0.85)[0]
        for path, colour in zip(paths.values(), _COLOURS, strict=True)
    ]


def _legend(drawing: Figure, paths: Mapping[str, np.ndarray]) -> None:
    handles = [
        Line2D([], [], color=colour, label=name)
        for name, colour in zip(paths, _COLOURS, strict=True)
    ]
    handles += [
        Line2D([], [], marker="o", color="black", linestyle="none", label="start"),
        Line2D([], [], marker="*", color="black", linestyle="none", label="truth"),
    ]
    drawing.legend(handles=handles, loc="outside upper center", ncols=len(handles))
