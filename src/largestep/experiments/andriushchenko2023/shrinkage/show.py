"""What `shrinkage` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.shrinkage.compute import (
    ADDITIVE,
    FACTORS,
    MULTIPLICATIVE,
    expected_rate,
)
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import ratio
from largestep.figures.style import figure, label_panels
from largestep.store import Results

_FROM, _TO = 0.05, 0.25
"""The fractions of the steps between which the rate is measured."""


def rate(factor: float, noise: str, results: Results) -> np.ndarray:
    """Return for every seed by how much ln|u² − v²| falls in a step."""
    curve = results[noise].dataset.imbalance.sel(factor=factor)
    steps = float(curve.step[-1])
    start, end = (curve.sel(step=t * steps, method="nearest") for t in (_FROM, _TO))
    fallen: np.ndarray = (start - end).values / float(end.step - start.step)
    return fallen


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the imbalance over training, the rates against δ, and the coordinates that are left."""
    drawing, axes = figure(1, 3, size=(12, 3.6))
    for noise, style, marker, colour in (
        (MULTIPLICATIVE, "-", "o", "#b3261e"),
        (ADDITIVE, ":", "s", "#3b6fb6"),
    ):
        dataset = results[noise].dataset
        for i, factor in enumerate(FACTORS):
            curve = dataset.imbalance.sel(factor=factor).median("seed")
            axes[0].plot(
                curve.step,
                curve,
                style,
                color=colour,
                alpha=0.35 + 0.2 * i,
                label=noise if factor == 1 else None,
            )
        rates = np.stack([rate(factor, noise, results) for factor in FACTORS])
        low, middle, high = np.nanquantile(rates, [0.25, 0.5, 0.75], axis=1)
        axes[1].errorbar(
            FACTORS, middle, [middle - low, high - middle], fmt=marker, color=colour, label=noise
        )
        ends = dataset.nonzero_coordinates.isel(step=-1).transpose("factor", "seed").values
        low, middle, high = np.nanquantile(ends, [0.25, 0.5, 0.75], axis=1)
        axes[2].errorbar(FACTORS, middle, [middle - low, high - middle], fmt=marker, color=colour)
    axes[1].plot(FACTORS, [expected_rate(f) for f in FACTORS], color="0.4", label="η²δ Σx²")
    axes[0].set_xlabel("steps")
    axes[0].set_ylabel("median ln|u² − v²|\n(the darker, the larger δ)")
    axes[1].set_ylabel("rate of its fall, per step")
    axes[2].set_ylabel("coordinates above\n10⁻⁶ of the largest, end")
    for ax in axes[1:]:
        ax.set_xscale("log")
        ax.set_xticks(FACTORS, [f"{f:g}" for f in FACTORS])
        ax.minorticks_off()
        ax.set_xlabel("δ over that of SGD's plateau")
    for ax in axes[:2]:
        ax.legend(fontsize=7)
    label_panels(axes)
    return {"figure": drawing}


def _over_expected(noise: str, results: Results) -> np.ndarray:
    columns = [rate(factor, noise, results) / expected_rate(factor) for factor in FACTORS]
    return np.stack(columns, axis=1)


def _fewer(noise: str, results: Results) -> np.ndarray:
    ends = results[noise].dataset.nonzero_coordinates.isel(step=-1)
    most, least = (ends.sel(factor=factor).values for factor in (FACTORS[-1], FACTORS[0]))
    return ratio(most, least)


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "The SDE with four strengths of noise δ, beside additive noise of the same "
        "variance: a, the median of ln|u² − v²| over training; b, the rate of its fall "
        "against δ, with η²δ Σx² as the line; c, coordinates left at the end. Points are "
        "medians over {seeds}, bars reach from quartile to quartile.",
        "Three panels. The SDE's lines fall, the steeper the stronger the noise, at rates "
        "on the expected line; with twice the plateau's δ a quarter of the coordinates is "
        "left. Additive noise shrinks nothing.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "The strength of the shrinkage is proportional to δ.",
        "rate at which ln|u² − v²| falls over η²δ Σx², at a quarter to two times the plateau's δ "
        "(the worst)",
        partial(_over_expected, MULTIPLICATIVE),
        "within",
        (1 / 1.25, 1.25),
        control=Control("additive noise of the same variance", partial(_over_expected, ADDITIVE)),
    ),
    Claim(
        "The larger δ, the fewer coordinates are left.",
        "final number of coordinates, two times the plateau's δ over a quarter of it, same seed",
        partial(_fewer, MULTIPLICATIVE),
        "below",
        0.8,
        control=Control("additive noise of the same variance", partial(_fewer, ADDITIVE)),
        beside={
            f"{factor:g} δ": lambda r, factor=factor: (  # type: ignore[misc]
                r[MULTIPLICATIVE].dataset.nonzero_coordinates.isel(step=-1).sel(factor=factor)
            )
            for factor in FACTORS
        },
    ),
)
