"""What `weak-features` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from largestep.experiments.claims import Claim, Control
from largestep.experiments.lu2023.weak_features.compute import MULTIPLES, ON_PATCHES_GD, WEAK
from largestep.experiments.phases import at_end
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["CLAIMS", "draw"]

STABLE, EDGE, LARGE = "0.5", "0.9", "1.9"
GD_LARGE = f"{ON_PATCHES_GD[-1]:g}"
BEYOND = tuple(f"{k:g}" for k in MULTIPLES if k > 1)


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw shares, test loss and, of the paper's own network, test error against the step size."""
    drawing, axes = figure(1, 4, size=(15, 3.6))
    _shares(axes[0], results)
    _against_step_size(axes[1], results, "test_loss", "test loss, the strong feature missing")
    axes[1].set_ylim(bottom=0)
    for ax in axes[:2]:
        ax.axvline(1.0, color="black", linewidth=0.8, linestyle="--")
        ax.set_xlabel("step size, in multiples k of the edge 2/λ_max")
    _while_it_trains(axes[2], results)
    _patches(axes[3], results)
    label_panels(axes)
    return {"figure": drawing}


_NAMES = {"sgd": ("#b2182b", "o", "SGD"), "gd": ("#3b6fb6", "s", "GD")}


def _against_step_size(ax: Axes, results: Results, name: str, label: str) -> None:
    for run, (shade, marker, text) in _NAMES.items():
        ends = results[run].dataset[name].isel(step=-1)
        low, middle, high = ends.quantile([0.25, 0.5, 0.75], "seed").transpose("quantile", ...)
        ax.plot(MULTIPLES, middle, color=shade, marker=marker, markersize=4, label=text)
        ax.fill_between(MULTIPLES, low, high, color=shade, alpha=0.15, linewidth=0)
    asked = results["asked"].dataset[name].isel(step=-1).median("seed")
    ax.plot(MULTIPLES, asked, color="#7a7a7a", linestyle=":", label="SGD, data that ask for it")
    ax.set_ylabel(label)
    ax.legend(fontsize=7)


def _shares(ax: Axes, results: Results) -> None:
    for run, (shade, marker, text) in _NAMES.items():
        ends = results[run].dataset.strong_share.isel(step=-1).median("seed")
        ax.plot(MULTIPLES, ends, color=shade, marker=marker, markersize=4, label=text)
    k = np.linspace(1, MULTIPLES[-1], 50)
    ax.plot(k, _most(k), color="black", linestyle="--", label="the most that is stable")
    ax.set_ylim(0, 1.05)
    ax.set_ylabel("share of the strong feature")
    ax.legend(fontsize=7)


def _while_it_trains(ax: Axes, results: Results) -> None:
    dataset = results["sgd"].dataset
    for label, shade in ((EDGE, "#3b6fb6"), ("1.3", "#f4a582"), (LARGE, "#b2182b")):
        curve = dataset.weak_share.sel(schedule=label).median("seed")
        ax.plot(curve.step, curve, color=shade, label=f"k = {label}")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlabel("steps of SGD (the step size falls at half)")
    ax.set_ylabel("share of the weak feature")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=7)


def _patches(ax: Axes, results: Results) -> None:
    for run, (shade, marker, text) in _NAMES.items():
        ends = results[f"patches {run}"].dataset.test_error.isel(step=-1)
        k = ends.schedule.values.astype(float)
        low, middle, high = ends.quantile([0.25, 0.5, 0.75], "seed").transpose("quantile", ...)
        ax.plot(k, middle, color=shade, marker=marker, markersize=4, label=text)
        ax.fill_between(k, low, high, color=shade, alpha=0.15, linewidth=0)
    ax.axvline(1.0, color="black", linewidth=0.8, linestyle="--")
    ax.set_ylim(-0.02, 0.65)
    ax.set_xlabel("step size, in multiples k of each one's edge")
    ax.set_ylabel("test error, the strong feature missing")
    ax.set_title("two layers of ReLU² on patches", fontsize=9)
    ax.legend(fontsize=7)


def _most(k: np.ndarray | float) -> np.ndarray | float:
    """Return the largest share of the strong feature that is stable at k times the edge."""
    return (1.0 / k - WEAK) / (1.0 - WEAK)


def _end(run: str, name: str, schedule: str, results: Results) -> np.ndarray:
    return at_end(results[run].dataset[name], schedule)


def _test_ratio(run: str, over: str, under: str, results: Results) -> np.ndarray:
    ratio: np.ndarray = _end(run, "test_loss", over, results) / _end(
        run, "test_loss", under, results
    )
    return ratio


def _over_the_most(run: str, schedules: tuple[str, ...], results: Results) -> np.ndarray:
    """Return the strong share over the stable one, a column for each step size beyond the edge."""
    return np.stack(
        [
            _end(run, "strong_share", schedule, results) / _most(float(k))
            for schedule, k in zip(schedules, BEYOND, strict=True)
        ],
        axis=-1,
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Steps beyond the edge make SGD do well where only the weak feature is left.",
        f"final test loss, SGD at {LARGE} times the edge over {EDGE} times, same data",
        partial(_test_ratio, "sgd", LARGE, EDGE),
        "below",
        0.2,
        control=Control(
            f"{EDGE} over {STABLE} times the edge", partial(_test_ratio, "sgd", EDGE, STABLE)
        ),
        beside={f"k = {k}": partial(_end, "sgd", "test_loss", k) for k in (EDGE, BEYOND[0], LARGE)},
    ),
    Claim(
        "The weak feature sets in at the edge.",
        f"share of the weak feature at the end of SGD at {BEYOND[0]} times the edge",
        partial(_end, "sgd", "weak_share", BEYOND[0]),
        "above",
        0.05,
        control=Control(f"{EDGE} times the edge", partial(_end, "sgd", "weak_share", EDGE)),
    ),
    Claim(
        "Stability says how much: the strong share is at most (1/k − 0.2)/0.8.",
        "final strong share of SGD over that, at each step size beyond the edge",
        partial(_over_the_most, "sgd", BEYOND),
        "below",
        1.0,
        control=Control(
            f"what steps of {EDGE} times the edge leave, held against the same",
            partial(_over_the_most, "sgd", (EDGE,) * len(BEYOND)),
        ),
    ),
    Claim(
        "It is stability, not noise: GD learns the weak feature too.",
        f"share of the weak feature at the end of GD at {LARGE} times the edge",
        partial(_end, "gd", "weak_share", LARGE),
        "above",
        0.3,
        control=Control(f"GD at {EDGE} times the edge", partial(_end, "gd", "weak_share", EDGE)),
    ),
    Claim(
        "Where a fifth of the data ask for the weak feature, small steps learn it.",
        f"share of the weak feature at the end of SGD at {STABLE} times the edge, on such data",
        partial(_end, "asked", "weak_share", STABLE),
        "above",
        0.3,
        control=Control("data that do not ask for it", partial(_end, "sgd", "weak_share", STABLE)),
    ),
    Claim(
        "The paper's own network does so too: beyond its edge SGD needs no strong feature.",
        f"test error, the strong feature missing, SGD on patches at {BEYOND[0]} times its edge",
        partial(_end, "patches sgd", "test_error", BEYOND[0]),
        "below",
        0.05,
        control=Control(f"{EDGE} times its edge", partial(_end, "patches sgd", "test_error", EDGE)),
        beside={
            f"k = {k:g}": partial(_end, "patches sgd", "test_error", f"{k:g}") for k in MULTIPLES
        },
    ),
    Claim(
        "There too GD does it as SGD does.",
        f"test error, the strong feature missing, GD on patches at {GD_LARGE} times its edge",
        partial(_end, "patches gd", "test_error", GD_LARGE),
        "below",
        0.05,
        control=Control(f"{EDGE} times its edge", partial(_end, "patches gd", "test_error", EDGE)),
        whose="our own",
    ),
)
