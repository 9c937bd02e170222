"""The paper's panels for deep networks: loss, test error, sparsity of the last two stages."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from largestep.figures import curves
from largestep.figures.style import colours, figure, label_panels, legend_above, log_percentages

__all__ = ["draw_ends", "draw_measures"]


def draw_measures(dataset: xr.Dataset) -> Figure:
    """Draw medians and quartiles over seeds of what was measured in training.

    Parameters
    ----------
    dataset : with dimensions schedule, seed, step and layer, as `Trained.results` has them.
    """
    drawing, axes = figure(2, 3, size=(11, 6))
    curves.bands(axes[0], dataset.train_loss, log=True)
    curves.bands(axes[1], (100 * dataset.test_error).assign_attrs(long_name="test error, %"))
    if float(dataset.test_error.min()) > 0:
        axes[1].set_yscale("log")
        log_percentages(axes[1].yaxis)
    for panel, stage in zip(axes[2:4], dataset.layer.values[-2:], strict=True):
        curves.bands(panel, dataset.distinct.sel(layer=stage))
        panel.set_ylabel(f"feature sparsity, {stage}")
        panel.set_ylim(bottom=0)
    curves.bands(axes[4], dataset.step_size, log=True)
    if curves.everyone_survives(dataset):
        sparsity = dataset.distinct.isel(layer=-1)
        sparsity = sparsity.assign_attrs(long_name=f"feature sparsity, {dataset.layer.values[-1]}")
        curves.ends(
            axes[5], sparsity, (100 * dataset.test_error).assign_attrs(long_name="test error, %")
        )
    else:
        curves.survival(axes[5], dataset)
        axes[5].set_ylabel("share of seeds still there")
    legend_above(drawing, axes[0], "step sizes:")
    label_panels(axes)
    return drawing


def draw_ends(runs: Mapping[str, xr.Dataset]) -> Figure:
    """Draw test error against the sparsity of the last stage at the end, a panel for each network.

    Small points are seeds, large ones medians of those that survived.

    Parameters
    ----------
    runs : datasets as `draw_measures` takes them, by the network's name; their last schedule is
        drawn as the one that is held against the others.
    """
    drawing, axes = figure(1, len(runs), size=(3.6 * len(runs), 3.8))
    for ax, (name, dataset) in zip(axes, runs.items(), strict=True):
        grid = dataset.isel(schedule=slice(0, -1))
        shades = {**colours(grid.schedule.values), str(dataset.schedule.values[-1]): "#1a1a1a"}
        for label, shade in shades.items():
            ends = dataset.sel(schedule=label).isel(step=-1)
            x, y = ends.distinct.isel(layer=-1), 100 * ends.test_error
            there = int(ends.diverged_at.isnull().sum())
            lost = "" if there == ends.sizes["seed"] else f" ({there} of {ends.sizes['seed']})"
            ax.scatter(x, y, s=10, color=shade, alpha=0.5, linewidths=0)
            ax.scatter(
                x.median(), y.median(), s=60, color=shade, marker="o", label=f"{label}{lost}"
            )
        ax.set_title(name, fontsize=9)
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("feature sparsity of the last stage")
        ax.set_ylabel("test error, %")
        ax.legend(title="step size (survived)", fontsize=7, title_fontsize=7, frameon=False)
    label_panels(axes)
    return drawing
