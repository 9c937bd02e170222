"""What `one-dimension` claims, and how it is drawn."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.one_dimension.compute import CONSTANT, LAWS, SHARPNESS
from largestep.experiments.andriushchenko2023.one_dimension.figure import draw_map
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.store import Results

CONVERGED = 1e-6


def fates(dataset: xr.Dataset) -> xr.Dataset:
    """Return for each value of the axis the shares of starts that converge, stabilise, diverge."""
    w = dataset.parameters.isel(parameter=0).sel(step=slice(1, None)) ** 2
    diverged = dataset.diverged_at.notnull()
    converged = (abs(w - 1) < CONVERGED).all("step") & ~diverged
    return xr.Dataset(
        {
            "converges": converged.mean("seed"),
            "stabilises": (~converged & ~diverged).mean("seed"),
            "diverges": diverged.mean("seed"),
            "mean_w": w.where(~diverged).mean(("seed", "step")),
            "largest": np.sqrt(w.where(~diverged).max(("seed", "step"))),
        }
    )


def lyapunov(law: str, sharpness: np.ndarray) -> np.ndarray:
    """Return E log|1 − 2a|: the rate at which w − 1 grows at the minimum, negative if it shrinks.

    An SGD step on the network xθ² maps w = θ²/θ⋆² to w(1 − a(w − 1))², a = 2ηx²θ⋆², which is
    linearised to the factor 1 − 2a at w = 1.
    """
    squares = np.array(LAWS[law]) / max(LAWS[law])
    with np.errstate(divide="ignore"):
        rate: np.ndarray = np.log(np.abs(1 - 2 * np.outer(sharpness, squares))).mean(axis=1)
    return rate


def predicted(law: str, sharpness: np.ndarray) -> np.ndarray:
    """Return the theory's word for each value of the axis; beyond a = 2 it promises nothing good.

    [0, 1 + 2/a] is invariant exactly when a ≤ 2; there, SGD converges almost surely when
    E log|1 − 2a| < 0 and stabilises when it is positive. For constant x, a > 2 diverges.
    """
    words = np.where(lyapunov(law, sharpness) < 0, "converges", "stabilises")
    beyond = "diverges" if law == CONSTANT else "undetermined"
    return np.where(sharpness > 2, beyond, words)


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the map: shares of the three fates over the step size, above the theory's."""
    rows = {law: (fates(node.dataset), predicted(law, SHARPNESS)) for law, node in results.items()}
    return {"figure": draw_map(SHARPNESS, rows)}


def play(results: Results) -> dict[str, Any]:
    """Return what the page's `cobweb` needs: how many steps it takes."""
    return {"cobweb": {"steps": 200}}


def _each_start(dataset: xr.Dataset) -> Iterator[xr.Dataset]:
    return (dataset.isel(seed=[i]) for i in range(dataset.sizes["seed"]))


def _agreement(law: str) -> Claim:
    def values(results: Results, half: float = 1.0) -> np.ndarray:
        words = predicted(law, half * SHARPNESS)
        # Near a boundary convergence takes longer than any run.
        clear = (words != "undetermined") & (np.abs(lyapunov(law, half * SHARPNESS)) > 0.05)
        return np.array(
            [
                np.mean([float(found[words[i]][i]) for i in np.flatnonzero(clear)])
                for found in map(fates, _each_start(results[law].dataset))
            ]
        )

    return Claim(
        f"Converge, stabilise, diverge: where theory says, for {law}.",
        "share of step sizes with |E log|1 − 2a|| > 0.05 at which the fate is the predicted one",
        values,
        "above",
        0.95,
        control=Control("the theory at half the step size", lambda r: values(r, 0.5)),
        over="starts",
    )


def _stays(results: Results, *, beyond: bool = False) -> np.ndarray:
    """Return 1 for every start that at all laws and step sizes stays within the bound."""
    inside = (SHARPNESS > 2) if beyond else (SHARPNESS <= 2)
    bound = np.sqrt(1 + 2 / SHARPNESS[inside])
    reached = []
    for node in results.values():
        largest = np.sqrt((node.dataset.parameters.isel(parameter=0) ** 2).max("step"))
        largest = largest.where(node.dataset.diverged_at.isnull(), np.inf).transpose("seed", ...)
        reached.append(largest.values[:, inside] <= bound)
    stays: np.ndarray = np.concatenate(reached, axis=1).all(axis=1).astype(float)
    return stays


def _mean_square(law: str, rate_above: bool, results: Results) -> np.ndarray:
    rate = lyapunov(law, SHARPNESS)
    chosen = (rate > 0.05) if rate_above else (rate < -0.05)
    chosen &= 1.5 * np.sqrt(3) - 1 >= SHARPNESS
    found = [fates(start).mean_w.values[chosen] for start in _each_start(results[law].dataset)]
    return np.array(found)


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "What becomes of starts on one parameter, by the step size (as a = 2η·max(x²)·θ⋆²), "
        "for three laws of x; {seeds}, two starts each. The strip below each panel is what "
        "the theory says.",
        "Three panels of stacked shares. For constant x all starts converge up to a = 1, "
        "stabilise from there to 2 and diverge beyond. For x² of 0.2 or 1.9 they stabilise "
        "between 1.2 and 2; for 0.6 or 2 nowhere. The strips of the theory agree.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    *(_agreement(law) for law in LAWS),
    Claim(
        "For a ≤ 2 starts stay in the interval, |θ| ≤ θ⋆·√(1 + 2/a): more than nine in ten.",
        "1 if the start is within the bound at all laws, step sizes and recorded steps",
        _stays,
        "above",
        0.9,
        "mean",
        control=Control("a > 2", lambda r: _stays(r, beyond=True)),
        over="starts",
    ),
    Claim(
        "Where the loss stabilises θ shrinks: the mean of θ² lies below θ⋆².",
        "mean of θ²/θ⋆² over the last tenth of the steps, at each a in (1, 1.6) (the largest)",
        partial(_mean_square, CONSTANT, True),
        "below",
        0.999,
        control=Control("a < 1, where it converges", partial(_mean_square, CONSTANT, False)),
        over="starts",
    ),
)
