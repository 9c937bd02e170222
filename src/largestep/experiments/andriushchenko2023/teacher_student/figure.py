"""The plane of neurons: where they start, how they move, where they end."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from largestep.figures.labels import readable
from largestep.figures.style import figure, label_panels
from largestep.networks import ReLU

__all__ = ["draw_plane"]


def draw_plane(
    dataset: xr.Dataset, network: ReLU, teacher_angles: np.ndarray, teacher_outputs: np.ndarray
) -> Figure:
    """Draw the first seed's neurons, a panel for each schedule.

    Parameters
    ----------
    dataset : with the variable `parameters`.
    network : two-layer, with two inputs.
    teacher_angles, teacher_outputs : direction and output weight of each teacher neuron.
    """
    drawing, axes = figure(1, dataset.sizes["schedule"], size=(10, 5.4))
    reach = 0.0
    for ax, schedule in zip(axes, dataset.schedule.values, strict=True):
        curve = dataset.parameters.sel(schedule=schedule).isel(seed=0)
        thetas = curve.dropna("step").transpose("step", "parameter").values
        (inputs, _), (outputs, _) = network.unpack(thetas)
        ends = inputs[-1]
        outputs = outputs[-1, 0]
        mass = np.abs(outputs) * np.linalg.norm(ends, axis=-1)
        reach = max(reach, 1.1 * np.abs(inputs).max())
        for angle, sign in zip(teacher_angles, teacher_outputs, strict=True):
            ray = np.outer([np.cos(angle), np.sin(angle)], [0, 10])
            ax.plot(*ray, color=_SIGNS[sign > 0][0], alpha=0.3, linewidth=5, zorder=0)
        for path in inputs.transpose(1, 0, 2):
            ax.plot(*path.T, color="0.6", linewidth=0.7)
        ax.scatter(
            inputs[0, :, 0], inputs[0, :, 1], s=14, facecolors="white", edgecolors="0.35", zorder=3
        )
        for positive, (colour, marker, _) in _SIGNS.items():
            mine = (outputs > 0) == positive
            sizes = 8 + 90 * mass[mine] / max(mass.max(), 1e-12)
            ax.scatter(ends[mine, 0], ends[mine, 1], s=sizes, color=colour, marker=marker, zorder=4)
        ax.set_title(f"η = {readable(schedule)}", fontsize=9)
    for ax in axes:
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_aspect("equal")
        ax.set_xlabel("first input weight")
        ax.set_ylabel("second input weight")
    handles = [
        Line2D([], [], marker="o", color="0.35", markerfacecolor="white", linestyle="none"),
        *(
            Line2D([], [], marker=marker, color=colour, linestyle="none", markersize=7)
            for colour, marker, _ in _SIGNS.values()
        ),
        Line2D([], [], color="0.6", linewidth=5, alpha=0.5),
    ]
    words = ["start", *(f"end, {sign} output" for *_, sign in _SIGNS.values()), "a teacher neuron"]
    drawing.legend(handles, words, loc="outside upper center", ncols=4, frameon=False)
    label_panels(axes)
    return drawing


_SIGNS = {True: ("#a31515", "o", "positive"), False: ("#2f62ab", "s", "negative")}
"""Colour, marker and name of neurons by whether their output weight is positive."""
