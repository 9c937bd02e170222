"""What `robust-compressible` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.experiments.barsbey2025.robust_compressible.compute import DATA, SCHEDULES
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import next_seed, ratio, two_seeds
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["CAPTIONS", "CLAIMS", "draw"]

SMALL, *_, LARGE, AS_LONG = SCHEDULES
SHORTCUT, NONE = DATA
_SHADES = {SHORTCUT: "#b2182b", NONE: "#3b6fb6"}


CAPTIONS = {
    "figure": Caption(
        "a, images; b, accuracy where the two digits disagree; c, what compaction leaves of the "
        "parameters; d, feature sparsity. Every seed is a point; lines are medians, bars those of "
        "the run that is as long in time as that of 1.",
        "Size and sparsity fall at the largest step size; the minority's accuracy rises and falls.",
    ),
}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw accuracy on the minority, size and sparsity by step size, and some of the images."""
    drawing, axes = figure(1, 4, size=(15, 3.6))
    _images(axes[0], results["shown"].dataset.image.values)
    for ax, name, label in (
        (axes[1], "minority", "accuracy where the digits disagree"),
        (axes[2], "size", "share of parameters left"),
        (axes[3], "sparsity", "feature sparsity (less is sparser)"),
    ):
        _by_step_size(ax, results, name)
        ax.set_ylabel(label)
        ax.set_ylim(0, 1)
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(0.0, 0.65), frameon=False)
    label_panels(axes)
    return {"figure": drawing}


def _images(ax: Axes, shown: np.ndarray) -> None:
    """Draw three images of the majority above three of the minority."""
    rows = [np.hstack([np.pad(image, (1, 2)) for image in group]) for group in shown]
    ax.imshow(np.vstack(rows), cmap="gray_r", vmin=0.0, vmax=1.0)
    ax.set_title("majority above, minority below", fontsize=9)
    ax.set_axis_off()


def _by_step_size(ax: Axes, results: Results, name: str) -> None:
    for (data, shade), aside in zip(_SHADES.items(), (-0.08, 0.08), strict=True):
        found = results[data].dataset[name]
        label = {SHORTCUT: "with the shortcut", NONE: "right digit at random"}[data]
        for column, schedule in enumerate(SCHEDULES):
            values = found.sel(schedule=schedule).values
            at = column + aside + np.linspace(-0.05, 0.05, len(values))
            ax.scatter(at, values, s=9, color=shade, alpha=0.5, lw=0)
        middle = found.sel(schedule=list(SCHEDULES)).median("seed").values
        columns = np.arange(len(SCHEDULES)) + aside
        ax.plot(columns[:-1], middle[:-1], "-", color=shade, label=label)
        ax.plot(columns[-1], middle[-1], "_", color=shade, markersize=14, markeredgewidth=2)
    ax.set_xticks(range(len(SCHEDULES)), [name.replace(", ", "\n") for name in SCHEDULES])
    ax.set_xlabel("step size")


def _of(name: str, schedule: str, results: Results, data: str = SHORTCUT) -> np.ndarray:
    values: np.ndarray = results[data].dataset[name].sel(schedule=schedule).values
    return values


def _gain(more: str, less: str, results: Results) -> np.ndarray:
    """Return how much more accurate on the minority one schedule is than another."""
    gain: np.ndarray = _of("minority", more, results) - _of("minority", less, results)
    return gain


def _other_seed(schedule: str) -> Control:
    own = partial(_of, "minority", schedule)
    return Control(
        f"{schedule}, the next seed minus this one", lambda r: next_seed(own(r)) - own(r)
    )


def _smaller(name: str, what: str, sentence: str, than: str, bound: float) -> Claim:
    other = partial(_of, name, than)
    return Claim(
        sentence,
        f"{what}, {LARGE} over {than}, same seed",
        lambda r: ratio(_of(name, LARGE, r), other(r)),
        "below",
        bound,
        control=two_seeds(than, other),
        beside={
            LARGE: partial(_of, name, LARGE),
            than: other,
            "without the shortcut": lambda r: ratio(
                _of(name, LARGE, r, NONE), _of(name, than, r, NONE)
            ),
        },
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Large steps are misled less by the shortcut, after as many steps.",
        f"accuracy on the minority, {LARGE} minus {SMALL}, same seed",
        partial(_gain, LARGE, SMALL),
        "above",
        0.02,
        control=_other_seed(SMALL),
        beside={name: partial(_of, "minority", name) for name in SCHEDULES},
    ),
    Claim(
        "They are after as long a time, too.",
        f"accuracy on the minority, {LARGE} minus {AS_LONG}, same seed",
        partial(_gain, LARGE, AS_LONG),
        "above",
        0.0,
        control=_other_seed(AS_LONG),
    ),
    _smaller("size", "share of parameters left", "They leave a smaller network.", SMALL, 0.9),
    _smaller(
        "size",
        "share of parameters left",
        "They do after as long a time, too: the network is smaller.",
        AS_LONG,
        0.9,
    ),
    _smaller("sparsity", "feature sparsity", "They leave sparser features.", SMALL, 0.8),
    _smaller(
        "sparsity",
        "feature sparsity",
        "They do after as long a time, too: the features are sparser.",
        AS_LONG,
        0.8,
    ),
)
