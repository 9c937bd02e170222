"""What `updates-not-epochs` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.hoffer2017.updates_not_epochs.compute import WAYS
from largestep.experiments.phases import ratio, two_seeds
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["CAPTIONS", "CLAIMS", "draw"]

SGD, SGD_SHORT, GD_SHORT, GD, REGULARISED, SGD_LARGE, GD_LARGE = WAYS
_POINT = 0.01


CAPTIONS = {
    "figure": Caption(
        "Every seed a point, medians as bars: a, test error; b, feature sparsity of the hidden "
        "layer.",
        "Test errors are near 6 % wherever there were 400 updates, above 14 % after 40. Sparsity "
        "is 0.7 of GD, less with the regularised gradient, least of SGD at a step size of 1.",
    ),
}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw each way's test error and sparsity, every seed a point."""
    drawing, axes = figure(1, 2, size=(11, 3.6))
    ends = results["ends"].dataset
    _ways(axes[0], 100 * ends.test_error.transpose("way", "seed").values)
    axes[0].set_xlabel("test error, %")
    axes[0].set_yticks(range(len(WAYS)), list(WAYS))
    _ways(axes[1], ends.sparsity.transpose("way", "seed").values)
    axes[1].set_xlabel("feature sparsity of the hidden layer (less is sparser)")
    axes[1].set_yticks(range(len(WAYS)), [""] * len(WAYS))
    axes[1].set_xlim(0, 0.8)
    axes[0].set_xlim(left=0)
    label_panels(axes)
    return {"figure": drawing}


def _ways(ax: Axes, values: np.ndarray) -> None:
    shades = {"SGD": "#b2182b", "GD": "#3b6fb6"}
    for row, (name, found) in enumerate(zip(WAYS, values, strict=True)):
        shade = "#2a7f4f" if name == REGULARISED else shades[name.partition(",")[0]]
        jitter = np.linspace(-0.2, 0.2, len(found))
        ax.scatter(found, row + jitter, s=10, color=shade, alpha=0.5, lw=0)
        ax.plot([np.nanmedian(found)] * 2, [row - 0.32, row + 0.32], color=shade, linewidth=2)
    ax.invert_yaxis()


def _of(name: str, way: str, results: Results) -> np.ndarray:
    values: np.ndarray = results["ends"].dataset[name].sel(way=way).values
    return values


def _gap(way: str, other: str, results: Results) -> np.ndarray:
    gap: np.ndarray = _of("test_error", way, results) - _of("test_error", other, results)
    return gap


def _denser(way: str, other: str, results: Results) -> np.ndarray:
    return ratio(_of("sparsity", way, results), _of("sparsity", other, results))


def _errors(*ways: str) -> dict[str, partial[np.ndarray]]:
    return {way: partial(_of, "test_error", way) for way in ways}


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "With as many epochs GD errs more than SGD, by three points at least.",
        f"test error, {GD_SHORT} minus {SGD}, same seed",
        partial(_gap, GD_SHORT, SGD),
        "above",
        3 * _POINT,
        control=Control(f"{GD} minus {SGD}", partial(_gap, GD, SGD)),
        beside=_errors(GD_SHORT, SGD),
    ),
    Claim(
        "With as many updates it does not: the gap is closed to within a point.",
        f"test error, {GD} minus {SGD}, same seed",
        partial(_gap, GD, SGD),
        "within",
        (-_POINT, _POINT),
        control=Control(f"{GD_SHORT} minus {SGD}", partial(_gap, GD_SHORT, SGD)),
        beside=_errors(GD, SGD),
    ),
    Claim(
        "Nor is it noise where updates are few: SGD is no better than GD then.",
        f"test error, {GD_SHORT} minus {SGD_SHORT}, same seed",
        partial(_gap, GD_SHORT, SGD_SHORT),
        "below",
        _POINT,
        control=Control(f"{GD_SHORT} minus {SGD}", partial(_gap, GD_SHORT, SGD)),
        beside=_errors(SGD_SHORT),
    ),
    Claim(
        "A regularised gradient costs no test error: a point at most.",
        f"test error, {REGULARISED} minus {GD}, same seed",
        partial(_gap, REGULARISED, GD),
        "within",
        (-_POINT, _POINT),
        control=Control(f"{GD_SHORT} minus {GD}", partial(_gap, GD_SHORT, GD)),
        beside=_errors(REGULARISED),
    ),
    Claim(
        "It makes the features sparser.",
        f"feature sparsity, {REGULARISED} over {GD}, same seed",
        partial(_denser, REGULARISED, GD),
        "below",
        0.9,
        control=two_seeds(GD, partial(_of, "sparsity", GD)),
        beside={way: partial(_of, "sparsity", way) for way in (REGULARISED, GD, SGD)},
    ),
    Claim(
        "Sparsity is where noise counts: a large step of SGD makes features sparser still.",
        f"feature sparsity, {SGD_LARGE} over {REGULARISED}, same seed",
        partial(_denser, SGD_LARGE, REGULARISED),
        "below",
        0.8,
        control=Control(f"{GD_LARGE} over the same", partial(_denser, GD_LARGE, REGULARISED)),
        beside={way: partial(_of, "sparsity", way) for way in (SGD_LARGE, GD_LARGE)},
        whose="our own",
    ),
)
