"""What `stable-minima` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.phases import at_end, ratio, two_seeds
from largestep.experiments.qiao2024.stable_minima.compute import (
    NOISE,
    STEP_SIZES,
    WITH_SGD,
    noisy,
)
from largestep.figures import curves
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["CLAIMS", "draw"]

NAMES = tuple(f"{eta:g}" for eta in STEP_SIZES)
SMALL, STILL, MEDIUM, LARGER, LARGE = NAMES


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw variation and bound, errors, and one seed's functions."""
    drawing, axes = figure(1, 3, size=(12, 3.6))
    _variation(axes[0], results)
    _errors(axes[1], results)
    _functions(axes[2], results)
    label_panels(axes)
    return {"figure": drawing}


_RED, _BLUE, _GREEN = "#b2182b", "#3b6fb6", "#2f6f4f"


def _variation(ax: Axes, results: Results) -> None:
    ends = results["gd"].dataset.isel(step=-1).assign_coords(schedule=list(STEP_SIZES))
    curves.over(
        ax, ends.weighted_variation, "schedule", colour=_RED, line="o-", label="GD, at the end"
    )
    bound = np.median([_bound(eta, eta, results) for eta in NAMES], axis=1)
    ax.plot(STEP_SIZES, bound, "k--", label="the most that is stable")
    ax.plot(
        [WITH_SGD],
        [np.median(_end("sgd", "weighted_variation", MEDIUM, results))],
        "s",
        color=_GREEN,
        label="SGD",
    )
    ax.set_yscale("log")
    ax.set_ylabel("weighted variation of the slope, ∫ |f''| g")
    _step_sizes(ax)


def _errors(ax: Axes, results: Results) -> None:
    ends = results["gd"].dataset.isel(step=-1).assign_coords(schedule=list(STEP_SIZES))
    # The loss is half the mean square.
    for name, shade, label in (("train_loss", _BLUE, "training"), ("test_loss", _RED, "test")):
        curves.over(ax, 2 * ends[name], "schedule", colour=shade, line="o-", label=label)
    ax.axhline(NOISE**2, color="black", linewidth=0.9, linestyle=":", label="variance of the noise")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("mean square error at the end of GD")
    _step_sizes(ax)


def _step_sizes(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xticks(STEP_SIZES, NAMES)
    ax.minorticks_off()
    ax.set_xlabel("step size η")
    ax.legend(fontsize=7)


def _functions(ax: Axes, results: Results) -> None:
    fits = results["gd"].dataset.predictions.isel(seed=0, step=-1)
    problem = noisy(int(fits.seed))
    x = problem.test_inputs[:, 0]
    for eta, shade in ((SMALL, _BLUE), (LARGE, _RED)):
        ax.plot(x, fits.sel(schedule=eta), color=shade, label=f"η = {eta}")
    ax.plot(x, problem.test_targets, "k:", linewidth=0.9, label="without noise")
    ax.plot(problem.x_train[:, 0], problem.y_train, "ko", markersize=3)
    ax.set_xlabel("x")
    ax.set_ylabel(f"f(x) at the end of GD, seed {int(fits.seed)}")
    ax.legend(fontsize=7)


def _end(run: str, name: str, eta: str, results: Results) -> np.ndarray:
    return at_end(results[run].dataset[name], eta)


def _bound(at: str, eta: str, results: Results) -> np.ndarray:
    """Return what is stable at step size η, with the residuals that training at another leaves."""
    return 1.0 / float(eta) - 0.5 + _end("gd", "misfit", at, results) / 2.0


def _of_bound(at: str, eta: str, results: Results) -> np.ndarray:
    return ratio(_end("gd", "weighted_variation", at, results), _bound(at, eta, results))


def _over(name: str, over: str, under: str, results: Results) -> np.ndarray:
    return ratio(_end("gd", name, over, results), _end("gd", name, under, results))


def _edge(eta: str, results: Results) -> np.ndarray:
    """Return ηλ_max/2 at the end."""
    found = results["gd"].dataset.curvature.sel(quantity="largest")
    share: np.ndarray = float(eta) * at_end(found, eta) / 2.0
    return share


def _of_noise(eta: str, results: Results) -> np.ndarray:
    return 2.0 * _end("gd", "train_loss", eta, results) / NOISE**2


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Where GD stays the slope varies by no more than its step size allows.",
        "∫ |f''| g at the end over 1/η − 1/2 + mean(|r| √(1 + x²))/2, at each step size",
        lambda results: np.stack([_of_bound(eta, eta, results) for eta in NAMES], axis=-1),
        "below",
        1.0,
        control=Control(
            f"where GD stays at η = {SMALL}, held against the bound at {LARGE}",
            partial(_of_bound, SMALL, LARGE),
        ),
        beside={f"η = {eta}": partial(_of_bound, eta, eta) for eta in NAMES},
    ),
    Claim(
        "Twice the step size leaves less variation.",
        f"∫ |f''| g at the end, η = {LARGER} over {MEDIUM} and {LARGE} over {LARGER}, same seed",
        lambda results: np.stack(
            [
                _over("weighted_variation", over, under, results)
                for over, under in ((LARGER, MEDIUM), (LARGE, LARGER))
            ],
            axis=-1,
        ),
        "below",
        0.75,
        control=Control(
            f"{STILL} over {SMALL}: both nearly small enough to stay where they start",
            partial(_over, "weighted_variation", STILL, SMALL),
        ),
        beside={
            f"η = {eta}": partial(_end, "gd", "weighted_variation", eta)
            for eta in (SMALL, MEDIUM, LARGER, LARGE)
        },
    ),
    Claim(
        "It is stability that does it: large steps end at the edge.",
        f"ηλ/2 at the end, at each of η = {MEDIUM}, {LARGER} and {LARGE}",
        lambda results: np.stack([_edge(eta, results) for eta in (MEDIUM, LARGER, LARGE)], axis=-1),
        "within",
        (0.9, 1.1),
        control=Control(f"η = {SMALL}", partial(_edge, SMALL)),
    ),
    Claim(
        "Large steps cannot stay where the noise is fitted.",
        f"mean square training error at η = {LARGE} over the variance of the noise",
        partial(_of_noise, LARGE),
        "above",
        0.3,
        control=Control(f"η = {SMALL}", partial(_of_noise, SMALL)),
    ),
    Claim(
        "So they generalise better.",
        f"mean square test error at the end, η = {LARGE} over {SMALL}, same seed",
        partial(_over, "test_loss", LARGE, SMALL),
        "below",
        0.9,
        control=two_seeds(f"η = {SMALL}", partial(_end, "gd", "test_loss", SMALL)),
    ),
    Claim(
        "SGD leaves less variation than GD with the same step size.",
        f"∫ |f''| g at the end, SGD over GD at η = {MEDIUM}, same data",
        lambda results: ratio(
            _end("sgd", "weighted_variation", MEDIUM, results),
            _end("gd", "weighted_variation", MEDIUM, results),
        ),
        "below",
        0.5,
        control=two_seeds(f"GD at {MEDIUM}", partial(_end, "gd", "weighted_variation", MEDIUM)),
        whose="our own",
    ),
)
