"""What `sensitivity` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import ratio, two_seeds
from largestep.experiments.wortsman2023.sensitivity.compute import (
    NORMALISED,
    PLAIN,
    STEP_SIZES,
)
from largestep.figures.style import figure, label_panels
from largestep.store import Results

_SHADES = {PLAIN: "#b3261e", NORMALISED: "#2f62ab"}
_GROWS = 10.0

CAPTIONS = {
    "figure": Caption(
        "a, validation loss at the end, at most that of the start, against the largest step size "
        "of the run; b, the largest logit of attention there. Without (red) and with (blue) "
        "normalised queries and keys. Small points are seeds, lines medians of {seeds} seeds.",
        "Two panels over step sizes from 0.001 to 0.3. Losses are alike up to 0.01 and lower with "
        "normalisation beyond, with much spread. The largest logit grows to 40 000 without it, and "
        "stays at 4 with it.",
    ),
}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw losses and largest logits against the step size."""
    drawing, axes = figure(1, 2, size=(8.5, 3.8))
    for name, shade in _SHADES.items():
        dataset = results[name].dataset
        for ax, values in zip(axes, (losses(dataset), dataset.largest_logit), strict=True):
            for seed in range(dataset.sizes["seed"]):
                ax.plot(STEP_SIZES, values.isel(seed=seed), ".", color=shade, alpha=0.4)
            ax.plot(STEP_SIZES, values.median("seed"), color=shade, label=name)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xlabel("largest step size")
    axes[0].set_ylabel("validation loss, nats a character")
    axes[0].legend(frameon=False)
    axes[1].set_yscale("log")
    axes[1].set_ylabel("largest attention logit")
    label_panels(axes)
    return {"figure": drawing}


def losses(dataset: xr.Dataset) -> xr.DataArray:
    """Return min(loss at the end, loss at the start); the latter where a run has diverged."""
    start, end = dataset.test_loss.isel(step=0), dataset.test_loss.isel(step=-1)
    return np.minimum(end.fillna(start), start)


def _sensitivity(name: str, results: Results) -> np.ndarray:
    found = losses(results[name].dataset)
    values: np.ndarray = (found.mean("schedule") - found.min("schedule")).values
    return values


def _growth(name: str, results: Results) -> np.ndarray:
    logit = results[name].dataset.largest_logit
    first, last = (logit.sel(schedule=f"{s:g}").values for s in (STEP_SIZES[0], STEP_SIZES[-1]))
    return ratio(last, first)


def _largest(name: str, results: Results) -> np.ndarray:
    values: np.ndarray = results[name].dataset.largest_logit.max("schedule").values
    return values


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "With normalised queries and keys the loss depends less on the step size.",
        "mean over step sizes of min(loss, loss at the start) − lowest loss, with over without "
        "normalisation, same seed",
        lambda r: ratio(_sensitivity(NORMALISED, r), _sensitivity(PLAIN, r)),
        "below",
        1.0,
        control=two_seeds(PLAIN, partial(_sensitivity, PLAIN)),
        beside={name: partial(_sensitivity, name) for name in _SHADES},
    ),
    Claim(
        "Without them, the logits of attention grow with the step size, by more than ten times.",
        f"largest logit at {STEP_SIZES[-1]:g} over that at {STEP_SIZES[0]:g}, same seed",
        partial(_growth, PLAIN),
        "above",
        _GROWS,
        control=Control("with normalised queries and keys", partial(_growth, NORMALISED)),
        beside={f"largest, {name}": partial(_largest, name) for name in _SHADES},
    ),
)
