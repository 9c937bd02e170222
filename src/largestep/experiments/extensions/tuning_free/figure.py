"""The figures of `tuning-free`: a table of ratios, and error against sparsity."""

import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from largestep.experiments.extensions.tuning_free.judged import near
from largestep.figures.style import figure, label_panels, log_percentages
from largestep.statistics import median_interval

__all__ = ["draw_pareto", "draw_table"]

_COLOURS = ("#2f62ab", "#a31515", "#e08a00", "#3f8f5f", "#7a4fa3")
_MARKERS = "os^DvP"
_MOST = 3.0
"""The ratio at which the table's colours end."""


def draw_table(found: xr.Dataset, typed: str) -> Figure:
    """Draw the error of every method on every problem, over that of the best of the grids.

    Parameters
    ----------
    found : as `judged.judged` returns it.
    typed : the method whose time a step the others' is compared with.
    """
    methods, problems = found.method.values, found.problem.values
    ratios = found.ratio.median("seed").transpose("method", "problem").values
    drawing, (ax,) = figure(1, 1, size=(2.5 + 1.25 * (len(problems) + 3), 1.2 + 0.5 * len(methods)))
    shades = LogNorm(1.0 / _MOST, _MOST)
    ax.imshow(
        np.pad(ratios, ((0, 0), (0, 3)), constant_values=np.nan),
        cmap="RdBu_r",
        norm=shades,
        aspect="auto",
        alpha=0.7,
    )
    for row, method in enumerate(methods):
        for column, problem in enumerate(problems):
            cell = found.sel({"method": method, "problem": problem})
            dark = not 1.0 / 2.5 < ratios[row, column] < 2.5
            ax.text(
                column,
                row,
                _cell(cell),
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
    columns = _last_columns(found, typed)
    for number, values in enumerate(columns.values()):
        for row, text in enumerate(values):
            ax.text(len(problems) + number, row, text, ha="center", va="center", fontsize=8)
    labels = [
        f"{problem}\n{float(found.best_error.sel(problem=problem)):.3g}" for problem in problems
    ]
    ax.set_xticks(range(len(labels) + 3), [*labels, *columns], fontsize=7, rotation=20, ha="left")
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(methods)), methods, fontsize=8)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return drawing


def draw_pareto(found: xr.Dataset) -> Figure:
    """Draw error against sparsity, a panel for each problem: medians, and every seed as a dot."""
    problems = found.problem.values
    columns = min(3, len(problems))
    rows = -(-len(problems) // columns)
    drawing, axes = figure(rows, columns, size=(4 * columns, 1.3 + 3.1 * rows))
    for ax, problem in zip(axes, problems, strict=False):
        for number, method in enumerate(found.method.values):
            mine = found.sel({"problem": problem, "method": method})
            there = ~mine.lost.values
            if not there.any():
                continue
            x, y = mine.sparsity.values[there], mine.error.values[there]
            colour = _COLOURS[number % len(_COLOURS)]
            ax.scatter(x, y, s=4, color=colour, alpha=0.4, linewidths=0)
            ax.plot(
                np.median(x),
                np.median(y),
                _MARKERS[number // len(_COLOURS)],
                color=colour,
                markersize=7,
                markerfacecolor=colour if number > 1 else "none",
                markeredgewidth=1.6,
                label=str(method),
            )
        ax.set_yscale("log")
        log_percentages(ax.yaxis)
        ax.set_xlim(left=0)
        ax.set_title(problem, fontsize=9)
        ax.set_xlabel("feature sparsity, last hidden layer")
        ax.set_ylabel("test error")
    for ax in axes[len(problems) :]:
        ax.set_visible(False)
    handles = {
        label: handle
        for ax in axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(
        list(handles.values()),
        list(handles),
        loc="outside upper center",
        ncols=columns + 1,
        frameon=False,
    )
    label_panels(axes)
    return drawing


def _cell(cell: xr.Dataset) -> str:
    """Return the median ratio, its interval, and how many runs are lost."""
    ratio = cell.ratio.values
    interval = median_interval(ratio)
    text = _short(np.median(ratio))
    if interval is not None:
        text += f"\n[{_short(interval.low)}, {_short(interval.high)}]"
    lost = int(cell.lost.sum())
    return f"{text}\n{lost} lost" if lost else text


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _last_columns(found: xr.Dataset, typed: str) -> dict[str, list[str]]:
    times = (found.step / found.step.sel({"method": typed})).median("problem")
    close, lost = near(found).sum("problem"), found.lost.sum(("problem", "seed"))
    return {
        f"near on,\nof {found.sizes['problem']}": [str(int(n)) for n in close.values],
        f"lost, of\n{found.sizes['problem'] * found.sizes['seed']}": [str(int(n)) for n in lost],
        "time a\nstep": [f"{t:.2g}" for t in times.values],
    }
