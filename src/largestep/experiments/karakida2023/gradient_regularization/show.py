"""What `gradient-regularization` claims, and how it is drawn."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.karakida2023.gradient_regularization.compute import (
    PER_EXAMPLE,
    SADDLE,
    UPHILL,
)
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["CLAIMS", "draw"]

_RED, _BLUE = "#b2182b", "#3b6fb6"


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw each way of regularising over the descent alone, and the saddle."""
    drawing, axes = figure(1, 4, size=(14, 3.5))
    _over_the_descent(axes[0], results, "uncentred", "GD", "distance")
    _over_the_descent(axes[1], results, "full batch", "GD", "test_loss")
    _over_the_descent(axes[2], results, "per example", "SGD", "test_loss")
    axes[0].set_title("uncentred inputs, full batch", fontsize=9)
    axes[1].set_title("centred inputs, full batch", fontsize=9)
    axes[2].set_title("centred inputs, per example", fontsize=9)
    for ax, label in zip(axes, ("ε/γ", "ε/γ", "ε (γ = 0.1)"), strict=False):
        ax.set_xlabel(f"how far uphill: {label}")
    axes[0].set_ylabel("‖β − β⋆‖², over GD's")
    axes[1].set_ylabel("test loss, over GD's")
    axes[2].set_ylabel("test loss, over SGD's")
    _saddle(axes[3], results)
    label_panels(axes)
    return {"figure": drawing}


def _over_the_descent(ax: Axes, results: Results, run: str, descent: str, name: str) -> None:
    dataset = results[run].dataset[name]
    ratio = dataset.drop_sel(way=descent) / dataset.sel(way=descent)
    for column, way in enumerate(ratio.way.values):
        values = ratio.sel(way=way).values
        jitter = np.linspace(-0.15, 0.15, len(values))
        ax.scatter(column + jitter, values, s=8, color=_RED, alpha=0.4, linewidths=0)
        ax.plot([column - 0.25, column + 0.25], [np.nanmedian(values)] * 2, color=_RED)
    ax.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
    ax.set_xticks(range(ratio.sizes["way"]), ratio.way.values)
    ax.set_ylim(bottom=0)


def _saddle(ax: Axes, results: Results) -> None:
    sizes = results["saddle"].dataset["size"]
    for column, way in enumerate(sizes.way.values):
        values = np.maximum(sizes.sel(way=way).values, 1e-30)
        jitter = np.linspace(-0.15, 0.15, len(values))
        ax.scatter(column + jitter, values, s=10, color=_BLUE, alpha=0.6, linewidths=0)
    ax.set_xticks(range(len(SADDLE)), [f"{m:g} ρ⋆" for m in SADDLE])
    ax.set_xlim(-0.5, len(SADDLE) - 0.5)
    ax.set_yscale("log")
    ax.set_title("SAM near a saddle", fontsize=9)
    ax.set_xlabel("ρ of full-batch SAM")
    ax.set_ylabel("‖u⊙v‖ at the end (1e-30 stands for less)")


def _ratio(run: str, name: str, over: str, under: str, results: Results) -> np.ndarray:
    dataset = results[run].dataset[name]
    ratio: np.ndarray = (dataset.sel(way=over) / dataset.sel(way=under)).values
    return ratio


def _steps_uphill(run: str, results: Results) -> np.ndarray:
    """Return the distance at each reach over that at the next shorter one."""
    ways = [f"{m}" for m in UPHILL]
    return np.stack(
        [_ratio(run, "distance", further, nearer, results) for nearer, further in pairwise(ways)],
        axis=-1,
    )


def _end(run: str, name: str, way: str, results: Results) -> np.ndarray:
    values: np.ndarray = results[run].dataset[name].sel(way=way).values
    return values


def _ends(run: str, name: str, *ways: str) -> dict[str, Callable[[Results], np.ndarray]]:
    return {way: partial(_end, run, name, way) for way in ways}


_FURTHEST = f"{UPHILL[-1]}"
_DOWNHILL, _OWN_SAM, _FAR = f"{PER_EXAMPLE[0]:g}", f"{PER_EXAMPLE[1]:g}", f"{PER_EXAMPLE[-1]:g}"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "The further uphill the second gradient is taken, the nearer the truth.",
        "‖β − β⋆‖² at each reach over that at the next shorter one, uncentred inputs",
        partial(_steps_uphill, "uncentred"),
        "below",
        0.98,
        control=Control("a hundredth of the penalty", partial(_steps_uphill, "uncentred weak")),
    ),
    Claim(
        "On uncentred inputs the penalty brings full-batch descent nearer the truth.",
        f"‖β − β⋆‖², ε/γ = {_FURTHEST} over GD",
        partial(_ratio, "uncentred", "distance", _FURTHEST, "GD"),
        "below",
        0.8,
        control=Control(
            "a hundredth of the penalty",
            partial(_ratio, "uncentred weak", "distance", _FURTHEST, "GD"),
        ),
        beside=_ends("uncentred", "distance", "GD", _FURTHEST),
    ),
    Claim(
        "On centred inputs the full-batch penalty stands in for SGD's noise: it lowers the test "
        "loss.",
        "final test loss, ε = γ over GD, both full batch",
        partial(_ratio, "full batch", "test_loss", "1", "GD"),
        "below",
        1.0,
        control=Control(
            "the same way downhill", partial(_ratio, "full batch", "test_loss", "-1", "GD")
        ),
        beside=_ends("full batch", "test_loss", "GD", "1"),
    ),
    Claim(
        "Per example it does: 1-SAM lowers the test loss.",
        "final test loss, 1-SAM over SGD",
        partial(_ratio, "per example", "test_loss", _OWN_SAM, "SGD"),
        "below",
        0.7,
        control=Control(
            "n-SAM over GD on the same data", partial(_ratio, "full batch", "test_loss", "1", "GD")
        ),
        beside=_ends("per example", "test_loss", "SGD", _OWN_SAM),
    ),
    Claim(
        "Per example, too, further uphill is better.",
        f"final test loss, ε = {_FAR} over ε = {_DOWNHILL}",
        partial(_ratio, "per example", "test_loss", _FAR, _DOWNHILL),
        "below",
        0.5,
        control=Control(
            "full batch, ε/γ = 2 over -1",
            partial(_ratio, "full batch", "test_loss", "2", "-1"),
        ),
        beside=_ends("per example", "test_loss", _DOWNHILL, _OWN_SAM, _FAR),
    ),
    Claim(
        "Saddles attract SAM beyond ρ⋆ = 1/min c_j.",
        f"‖u⊙v‖ at the end of full-batch SAM at {SADDLE[1]:g} ρ⋆",
        partial(_end, "saddle", "size", f"{SADDLE[1]:g}"),
        "below",
        1e-3,
        control=Control(f"{SADDLE[0]:g} ρ⋆", partial(_end, "saddle", "size", f"{SADDLE[0]:g}")),
    ),
)
