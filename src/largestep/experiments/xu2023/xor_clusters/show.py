"""What `xor-clusters` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.xu2023.xor_clusters.compute import STEP_SIZES, STEPS, TOO_LARGE
from largestep.figures import curves
from largestep.figures.style import figure, label_panels
from largestep.store import Results

__all__ = ["CLAIMS", "draw"]

SMALL, MIDDLE, LARGE = (f"{eta:g}" for eta in STEP_SIZES)
_BLUE, _RED = "#3b6fb6", "#b2182b"


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw both errors after each step, the network at each step size and the linear predictor."""
    drawing, axes = figure(1, 4, size=(14, 3.4))
    panels = [("relu", eta, f"η = {eta}") for eta in (SMALL, MIDDLE, LARGE)]
    panels.append(("linear", MIDDLE, f"a linear predictor, η = {MIDDLE}"))
    for ax, (run, eta, title) in zip(axes, panels, strict=True):
        dataset = results[run].dataset.sel(schedule=eta)
        if run == "linear":  # it starts at zero, which is no label
            dataset = dataset.isel(step=slice(1, None))
        for name, shade, label in (
            ("train_error", _BLUE, "training, a tenth of the labels wrong"),
            ("test_error", _RED, "test"),
        ):
            curves.over(ax, dataset[name], "step", colour=shade, line="o-", label=label)
        ax.set_xlabel("step")
        ax.set_ylim(-0.02, 0.6)
        ax.set_xticks(range(0, STEPS + 1, 5))
        ax.set_title(title, fontsize=9)
    axes[0].set_ylabel("share of errors")
    axes[0].legend(fontsize=7)
    label_panels(axes)
    return {"figure": drawing}


def _error(name: str, step: int, eta: str, results: Results, run: str = "relu") -> np.ndarray:
    values: np.ndarray = results[run].dataset[name].sel(schedule=eta, step=step).values
    return values


def _at_each(name: str, step: int, results: Results) -> np.ndarray:
    """Return an error after a step, a column for each step size."""
    return np.stack([_error(name, step, eta, results) for eta in (SMALL, MIDDLE, LARGE)], axis=-1)


def _apart(name: str, results: Results) -> np.ndarray:
    """Return the error after twenty steps at the largest step size less that at the smallest."""
    return _error(name, STEPS, LARGE, results) - _error(name, STEPS, SMALL, results)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "After one step the network has fitted the labels, the wrong ones too.",
        "training error after one step, at each step size",
        partial(_at_each, "train_error", 1),
        "below",
        0.1,
        control=Control("before it", partial(_error, "train_error", 0, MIDDLE)),
    ),
    Claim(
        "Then it does not generalise.",
        "test error after one step, at each step size",
        partial(_at_each, "test_error", 1),
        "above",
        0.3,
        control=Control("after twenty", partial(_error, "test_error", STEPS, MIDDLE)),
    ),
    Claim(
        "After twenty steps it does, and still fits: benign overfitting.",
        "test and training error after twenty steps, at each step size",
        lambda results: np.hstack(
            [_at_each(name, STEPS, results) for name in ("test_error", "train_error")]
        ),
        "below",
        0.1,
        control=Control(
            "test error of a linear predictor",
            partial(_error, "test_error", STEPS, MIDDLE, run="linear"),
        ),
        beside={
            f"{label}, η = {eta}": partial(_error, name, STEPS, eta)
            for label, name in (("test", "test_error"), ("training", "train_error"))
            for eta in (SMALL, MIDDLE, LARGE)
        },
    ),
    Claim(
        "It is not about the step size: a hundred times larger steps end alike.",
        f"test error after twenty steps, η = {LARGE} less η = {SMALL}, same data",
        partial(_apart, "test_error"),
        "within",
        (-0.05, 0.05),
        control=Control(
            f"the first step's in place of the smaller steps' twentieth, η = {LARGE}",
            lambda results: (
                _error("test_error", STEPS, LARGE, results)
                - _error("test_error", 1, LARGE, results)
            ),
        ),
        whose="our own",
    ),
    Claim(
        "Larger steps by far only end it.",
        f"test error after the second step, η = {TOO_LARGE:g}",
        partial(_error, "test_error", 2, f"{TOO_LARGE:g}"),
        "above",
        0.45,
        control=Control(f"η = {LARGE}", partial(_error, "test_error", 2, LARGE)),
        whose="our own",
    ),
)
