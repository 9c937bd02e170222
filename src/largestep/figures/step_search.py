"""The searches of `deep.find_step`: step size, κ and loss along the way."""

import xarray as xr
from matplotlib.figure import Figure

from largestep.figures.style import figure, label_panels

__all__ = ["draw_search"]

_SHADES = ("#b2182b", "#2f62ab")


def draw_search(history: xr.Dataset, *, step_size: float, kappa: float) -> Figure:
    """Draw the step size, the curvature of the steps and the loss of every search.

    Parameters
    ----------
    history : as `deep.FoundStep` has it.
    step_size : that was found, a dotted line.
    kappa : that was to be held, a dotted line.
    """
    drawing, axes = figure(1, 3, size=(11, 3.2))
    panels = (("step_size", "step size η"), ("kappa", "curvature κ of the steps"), ("loss", "loss"))
    for ax, (name, label) in zip(axes, panels, strict=True):
        for number, (shade, dashes) in enumerate(zip(_SHADES, ("-", (0, (4, 1.5))), strict=True)):
            ax.plot(
                history.step + 1,
                history[name].isel(search=number),
                color=shade,
                linestyle=dashes,
                label=f"search {number + 1}",
            )
        ax.set_xlabel("steps")
        ax.set_ylabel(label)
    axes[0].set_yscale("log")
    axes[0].axhline(step_size, color="#555555", linestyle=":")
    axes[1].axhline(kappa, color="#555555", linestyle=":")
    axes[1].set_ylim(0, 3 * kappa)
    axes[2].set_ylim(bottom=min(0.0, float(history.loss.min())))
    axes[0].legend(loc="lower right", fontsize=8)
    label_panels(axes)
    return drawing
