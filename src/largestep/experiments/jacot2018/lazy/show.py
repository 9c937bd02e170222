"""What `lazy` claims, and how it is drawn."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.jacot2018.lazy.compute import (
    CATAPULT,
    LAZY,
    TANGENT,
    TOO_LARGE,
    USUAL,
    WIDTHS,
)
from largestep.experiments.jacot2018.lazy.figure import draw_kernels
from largestep.store import Results

GRID = "step sizes"


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the kernel's distance over width and step size, the curvature's fall, and survival."""
    ways = {way: results[way].dataset for way in (TANGENT, USUAL)}
    return {"figure": draw_kernels(ways, results[GRID].dataset)}


def _rows(name: str, kappa: float, results: Results, way: str = TANGENT) -> np.ndarray:
    """Return what each seed has at each width."""
    return results[way].dataset[name].sel(kappa=kappa).transpose("seed", "width").values


def exponent(kappa: float, results: Results, way: str = TANGENT) -> np.ndarray:
    """Return for each seed the power of the width with which the kernel's distance goes."""
    distances = _rows("kernel_distance", kappa, results, way)
    slopes = np.full(len(distances), np.nan)
    usable = np.isfinite(distances).all(axis=1) & (distances > 0).all(axis=1)
    if usable.any():
        slopes[usable] = np.polyfit(np.log(WIDTHS), np.log(distances[usable].T), 1)[0]
    return slopes


def _at_each_width(
    what: str, name: str, kappa: float, way: str = TANGENT
) -> dict[str, Callable[[Results], np.ndarray]]:
    return {
        f"{what}, m = {width}": partial(_at_width, name, kappa, width, way=way) for width in WIDTHS
    }


def _at_width(name: str, kappa: float, width: int, results: Results, *, way: str) -> np.ndarray:
    return _rows(name, kappa, results, way)[:, WIDTHS.index(width)]


def _survive(kappa: float, results: Results) -> np.ndarray:
    if kappa == TOO_LARGE:
        there: xr.DataArray = results[GRID].dataset.diverged_at.sel(kappa=kappa).isnull()
    else:
        there = results[TANGENT].dataset.diverged_at.sel(kappa=kappa).isnull().all("width")
    return there.values.astype(float)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "At κ = 1 the kernel moves ever less with width.",
        "exponent of the width in the kernel's distance to its start, κ = 1",
        partial(exponent, LAZY),
        "below",
        -1.0,
        control=Control("κ = 3", partial(exponent, CATAPULT)),
        beside=_at_each_width("distance", "kernel_distance", LAZY),
    ),
    Claim(
        "And yet it fits: lazy training is training.",
        "final training loss over the zero predictor's, κ = 1, at every width",
        partial(_rows, "end_loss", LAZY),
        "below",
        0.01,
        control=Control("the start", partial(_rows, "start_loss", LAZY)),
    ),
    Claim(
        "At κ = 3 the kernel moves as far at any width.",
        "exponent of the width in the kernel's distance to its start, κ = 3",
        partial(exponent, CATAPULT),
        "within",
        (-0.5, 0.5),
        control=Control("κ = 1", partial(exponent, LAZY)),
        beside=_at_each_width("distance", "kernel_distance", CATAPULT),
    ),
    Claim(
        "At κ = 3 the curvature falls until the step size is stable, at every width.",
        "λ at the end over λ at the start, of which 2/3 is the edge, κ = 3",
        partial(_rows, "sharpness_ratio", CATAPULT),
        "below",
        2.0 / CATAPULT,
        control=Control("κ = 1", partial(_rows, "sharpness_ratio", LAZY)),
        beside=_at_each_width("λ at the start", "sharpness", CATAPULT),
    ),
    Claim(
        "Beyond the edge training does not diverge: at κ = 3 no width does.",
        "1 if no width has diverged at κ = 3",
        partial(_survive, CATAPULT),
        "above",
        0.75,
        centre="mean",
        control=Control("κ = 16, of width 256", partial(_survive, TOO_LARGE)),
    ),
    Claim(
        "In the usual parameterisation the kernel moves less still: its features are random ones.",
        "exponent of the width in the kernel's distance to its start, κ = 1",
        partial(exponent, LAZY, way=USUAL),
        "below",
        -2.0,
        control=Control("the tangent parameterisation", partial(exponent, LAZY)),
        beside=_at_each_width("distance", "kernel_distance", LAZY, USUAL),
        whose="our own",
    ),
)
