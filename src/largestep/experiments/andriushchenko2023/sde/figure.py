"""The figures of `sde`: curves side by side, and the table of agreement."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import figure, label_panels, legend_above

__all__ = ["draw_agreement", "draw_curves", "draw_textbook"]


def draw_curves(
    rows: Mapping[str, tuple[xr.Dataset, xr.Dataset]],
    quantities: Callable[[xr.Dataset], list[str]],
) -> Figure:
    """Draw SGD and the SDE, a row for each problem and a column for each measure.

    Parameters
    ----------
    rows : {problem: (SGD's runs, the SDE's runs)}, with dimensions seed and step.
    quantities : names of the measures of a dataset.
    """
    everything = list(dict.fromkeys(q for sgd, _ in rows.values() for q in quantities(sgd)))
    # One column for losses each, and one for each kind of sparsity, whatever a problem calls it.
    columns = len({_column(q) for q in everything})
    drawing, axes = figure(len(rows), columns, size=(3.4 * columns, 2.4 * len(rows) + 0.5))
    for row, (name, ways) in enumerate(rows.items()):
        together = xr.concat(
            list(ways),
            xr.DataArray(["SGD", "SDE"], dims="schedule", name="schedule"),
            combine_attrs="drop_conflicts",
        )
        panels = axes[columns * row : columns * (row + 1)]
        for quantity in quantities(ways[0]):
            panel = panels[_column(quantity)]
            curves.bands(panel, together[quantity], log="loss" in quantity)
        panels[0].set_ylabel(f"{name}:\n{panels[0].get_ylabel()}")
        for panel in panels:
            if not panel.lines:
                panel.set_axis_off()
    legend_above(drawing, axes[0], "")
    label_panels([panel for panel in axes if panel.lines])
    return drawing


def _column(quantity: str) -> int:
    return {"train_loss": 0, "test_loss": 1, "jacobian_rank": 3}.get(quantity, 2)


def draw_textbook(problems: Mapping[str, Mapping[str, xr.Dataset]]) -> Figure:
    """Draw loss, coordinates and survival of SGD and of three SDEs over the large-step phase.

    Parameters
    ----------
    problems : {problem: {way: dataset with dimensions seed and step}}.
    """
    drawing, axes = figure(len(problems), 3, size=(12, 2.8 * len(problems) + 0.5))
    for row, (name, ways) in enumerate(problems.items()):
        panels = axes[3 * row : 3 * row + 3]
        last = min(float(dataset.step[-1]) for dataset in ways.values())
        together = xr.concat(
            [dataset.sel(step=slice(None, last)) for dataset in ways.values()],
            xr.DataArray(list(ways), dims="schedule", name="schedule"),
            combine_attrs="drop_conflicts",
            data_vars="all",
            join="inner",
        )
        curves.bands(panels[0], together.train_loss, log=True)
        panels[0].set_ylabel(f"{name}: training loss")
        curves.bands(panels[1], together.nonzero_coordinates)
        curves.survival(panels[2], together)
    legend_above(drawing, axes[0], "")
    label_panels(axes)
    return drawing


def draw_agreement(table: xr.Dataset) -> Figure:
    """Draw the ratio of medians for every problem, measure and time; a dot where laws differ."""
    lines = [
        (problem, quantity)
        for problem in table.problem.values
        for quantity in table["quantity"].values
        if table.ratio.sel(problem=problem, quantity=quantity).notnull().any()
    ]
    ratio, p = (
        np.stack([table[key].sel(problem=a, quantity=b).values for a, b in lines])
        for key in ("ratio", "p")
    )
    drawing, (ax,) = figure(1, 1, size=(9, 0.3 * len(lines) + 1.2))
    with np.errstate(divide="ignore", invalid="ignore"):
        colour = np.clip(np.log2(ratio), -1, 1)
    shades = ax.imshow(colour, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    bar = drawing.colorbar(shades, ax=ax, ticks=[-1, 0, 1], shrink=0.5)
    bar.ax.set_yticklabels(["half", "the same", "twice"])
    bar.set_label("SDE's median against SGD's")
    flat = dict(zip(table.problem.values, table.flat.values, strict=True))
    for i, j in np.ndindex(*ratio.shape):
        if np.isfinite(ratio[i, j]):
            mark = " •" if p[i, j] < 0.05 else ""
            ink = "white" if abs(colour[i, j]) > 0.6 else "black"
            ax.text(
                j, i, f"{ratio[i, j]:.2f}{mark}", ha="center", va="center", fontsize=8, color=ink
            )
    ax.set_xticks(range(table.sizes["time"]), list(table.time.values))
    ax.set_yticks(
        range(len(lines)),
        [f"{a}{'' if flat[a] else ' (not flat)'}: {b.replace('_', ' ')}" for a, b in lines],
    )
    ax.grid(visible=False)
    ax.set_xlabel("share of the steps done")
    ax.set_title("median of the SDE over SGD's; • the distributions differ", fontsize=9)
    return drawing
