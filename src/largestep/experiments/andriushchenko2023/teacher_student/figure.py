"""The plane of neurons: where they start, how they move, where they end."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures.style import figure
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
    schedules = dataset.schedule.values
    drawing, axes = figure(1, len(schedules), size=(14, 3.9))
    for ax, schedule in zip(axes, schedules, strict=True):
        curve = dataset.parameters.sel(schedule=schedule).isel(seed=0)
        thetas = curve.dropna("step").transpose("step", "parameter").values
        (inputs, _), (outputs, _) = network.unpack(thetas)
        outputs = outputs[:, 0]
        mass = np.abs(outputs[-1]) * np.linalg.norm(inputs[-1], axis=-1)
        reach = 1.1 * max(1.2, np.abs(inputs[-1]).max())
        for angle, sign in zip(teacher_angles, teacher_outputs, strict=True):
            direction = np.array([np.cos(angle), np.sin(angle)])
            ax.plot(
                *np.outer(direction, [0, 2 * reach]), color=_colour(sign), alpha=0.35, linewidth=4
            )
        for neuron in range(inputs.shape[1]):
            path = inputs[:, neuron]
            ax.plot(path[:, 0], path[:, 1], color="0.6", linewidth=0.7)
        ax.scatter(
            inputs[0, :, 0], inputs[0, :, 1], s=14, facecolors="white", edgecolors="0.35", zorder=3
        )
        ax.scatter(
            inputs[-1, :, 0],
            inputs[-1, :, 1],
            s=6 + 90 * mass / max(mass.max(), 1e-12),
            c=[_colour(sign) for sign in outputs[-1]],
            zorder=4,
        )
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_aspect("equal")
        ax.set_title(f"η = {schedule}", fontsize=9)
    return drawing


def _colour(sign: float) -> str:
    return "#b3261e" if sign > 0 else "#3b6fb6"
