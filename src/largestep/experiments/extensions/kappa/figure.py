"""Error and sparsity against the curvature of the steps that is held."""

from collections.abc import Mapping, Sequence

import xarray as xr
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels

__all__ = ["draw_kappa"]

_LOOKS = (("#b2182b", "o", "-"), ("#2f62ab", "s", (0, (5, 2))), ("#1a1a1a", "^", (0, (1, 1.5))))


def draw_kappa(runs: Mapping[str, xr.Dataset], kappas: Sequence[float]) -> Figure:
    """Draw test error and feature sparsity against κ, a line for each optimizer.

    Lines are medians over seeds, bars reach from the least to the largest.

    Parameters
    ----------
    runs : with `test_error` and `sparsity`, by `schedule` (each κ in turn) and `seed`; by the
        optimizer's name.
    kappas : of the schedules.
    """
    drawing, axes = figure(1, 2, size=(8.4, 3.4))
    panels = (("test_error", 100.0, "test error, %"), ("sparsity", 1.0, "feature sparsity"))
    for ax, (name, unit, label) in zip(axes, panels, strict=True):
        for number, (optimizer, dataset) in enumerate(runs.items()):
            values = unit * dataset[name]
            middle = values.median("seed")
            shade, marker, dashes = _LOOKS[number % len(_LOOKS)]
            ax.errorbar(
                [kappa * 1.02 ** (number - 1) for kappa in kappas],  # bars side by side
                middle,
                yerr=[middle - values.min("seed"), values.max("seed") - middle],
                color=shade,
                marker=marker,
                markersize=4,
                linestyle=dashes,
                capsize=2,
                label=optimizer,
            )
        ax.set_xscale("log")
        ax.set_xticks(kappas, [f"{kappa:g}" for kappa in kappas])
        ax.minorticks_off()
        ax.set_xlabel("curvature κ of the steps that is held")
        ax.set_ylabel(label)
        ax.set_ylim(bottom=0)
    axes[1].legend(fontsize=8)
    label_panels(axes)
    return drawing
