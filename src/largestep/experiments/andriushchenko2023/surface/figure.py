"""The slice of the loss surface with paths on it, still and moving."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from largestep.figures.style import figure, label_panels

__all__ = ["animate_paths", "draw_surface"]

_LINES: dict[str, dict[str, Any]] = {
    "gradient flow": {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 1.6},
    "GD": {"color": "#2f62ab", "linewidth": 0.5, "alpha": 0.55},
    "SGD": {"color": "#c2410c", "linewidth": 1.0},
}
_ENDS = {"gradient flow": "D", "GD": "s", "SGD": "o"}
_FRAMES, _PALETTE = 48, 64


def draw_surface(plane: xr.Dataset, paths: Mapping[str, np.ndarray], goal: np.ndarray) -> Figure:
    """Draw the train and the test loss by height, and the paths.

    Parameters
    ----------
    plane : losses with dimensions (y, x).
    paths : {name: (steps, 2) coordinates}.
    goal : (2,) coordinates of the truth.
    """
    drawing, axes = figure(1, 2, size=(11, 5.4))
    for ax, name in zip(axes, ("train_loss", "test_loss"), strict=True):
        _heights(ax, plane, name, goal)
        for way, path in paths.items():
            ax.plot(*path.T, **_LINES[way])
            ax.plot(*path[-1], _ENDS[way], color=_LINES[way]["color"], markersize=6, zorder=5)
    _legend(drawing, paths)
    label_panels(axes)
    return drawing


def animate_paths(
    plane: xr.Dataset,
    paths: Mapping[str, np.ndarray],
    steps: np.ndarray,
    goal: np.ndarray,
    file: Path,
) -> None:
    """Write a GIF in which the paths grow over the heights of the train loss.

    Parameters
    ----------
    steps : at which the paths are recorded: the title says which is shown.
    """
    drawing, (ax,) = figure(1, 1, size=(7, 6))
    drawing.set_dpi(100)
    _heights(ax, plane, "train_loss", goal)
    lines = {way: ax.plot([], [], **_LINES[way])[0] for way in paths}
    heads = {
        way: ax.plot([], [], _ENDS[way], color=_LINES[way]["color"], markersize=6, zorder=5)[0]
        for way in paths
    }
    _legend(drawing, paths)
    title = ax.set_title("step 00000", fontsize=11, fontfamily="monospace")
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")

    canvas: Any = FigureCanvasAgg(drawing)
    pictures = []
    # The start is quick: frames are spaced geometrically over the recorded steps.
    for shown in sorted({max(2, round(len(steps) ** (i / (_FRAMES - 1)))) for i in range(_FRAMES)}):
        for way, path in paths.items():
            lines[way].set_data(*path[:shown].T)
            heads[way].set_data(*path[:shown][-1:].T)
        title.set_text(f"step {steps[shown - 1]:>5}")
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    # One palette for all, and no dithering: what stands still costs nothing from frame to frame.
    palette = pictures[-1].quantize(_PALETTE)
    first, *others = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    first.save(file, save_all=True, append_images=others, duration=125, loop=0, optimize=True)


def _heights(ax: Axes, plane: xr.Dataset, name: str, goal: np.ndarray) -> None:
    """Draw the loss as shades, the darker the lower, with lines that say how low."""
    values = np.maximum(plane[name].values, 1e-4)
    decades = 10.0 ** np.arange(-3, np.ceil(np.log10(values.max())) + 1)
    ax.contourf(
        plane.x,
        plane.y,
        values,
        levels=np.geomspace(values.min(), values.max(), 13),
        cmap=ListedColormap(mpl.colormaps["Greys_r"](np.linspace(0.45, 1, 256))),
        norm=LogNorm(values.min(), values.max()),
    )
    levels = [level for half in decades for level in (half, 3 * half)]
    lines = ax.contour(plane.x, plane.y, values, levels=levels, colors="0.35", linewidths=0.5)
    ax.clabel(lines, fmt=lambda level: f"{level:g}", fontsize=7)
    ax.plot(0, 0, "o", color="black", markerfacecolor="white", markersize=6)
    ax.plot(*goal, "*", color="black", markersize=12, zorder=6)
    ax.set_xlim(plane.x.min(), plane.x.max())
    ax.set_ylim(plane.y.min(), plane.y.max())
    ax.grid(visible=False)
    ax.set_title({"train_loss": "training loss", "test_loss": "test loss"}[name], fontsize=9)
    ax.set_xlabel("distance towards the truth")
    ax.set_ylabel("distance towards gradient flow's end")


def _legend(drawing: Figure, paths: Mapping[str, np.ndarray]) -> None:
    handles = [
        Line2D([], [], label=name, marker=_ENDS[name], **{**_LINES[name], "alpha": 1.0})
        for name in paths
    ]
    handles += [
        Line2D(
            [],
            [],
            marker="o",
            color="black",
            markerfacecolor="white",
            linestyle="none",
            label="start",
        ),
        Line2D([], [], marker="*", color="black", linestyle="none", label="truth"),
    ]
    drawing.legend(
        handles=handles,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        handlelength=3,
    )
