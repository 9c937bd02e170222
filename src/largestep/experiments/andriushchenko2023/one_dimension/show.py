"""What `one-dimension` claims, and how it is drawn."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.one_dimension.compute import CONSTANT, LAWS, SHARPNESS
from largestep.experiments.andriushchenko2023.one_dimension.figure import draw_map
from largestep.experiments.claims import Claim
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


def _agreement(law: str) -> Claim:
    def values(results: Results) -> np.ndarray:
        words = predicted(law, SHARPNESS)
        # Near a boundary convergence takes longer than any run.
        clear = (words != "undetermined") & (np.abs(lyapunov(law, SHARPNESS)) > 0.05)
        found = fates(results[law].dataset)
        return np.array([float(found[words[i]][i]) for i in np.flatnonzero(clear)])

    return Claim(
        f"Converge, stabilise, diverge: where theory says, for {law}.",
        "share of starts with the predicted fate, at each step size with |E log|1 − 2a|| > 0.05",
        values,
        "above",
        0.95,
        centre="mean",
    )


def _bounded(results: Results) -> np.ndarray:
    inside = SHARPNESS <= 2
    bound = np.sqrt(1 + 2 / SHARPNESS[inside])
    return np.concatenate(
        [fates(node.dataset).largest.values[inside] <= bound for node in results.values()]
    ).astype(float)


def _shrinkage(results: Results) -> np.ndarray:
    law = CONSTANT
    stabilised = (lyapunov(law, SHARPNESS) > 0.05) & (1.5 * np.sqrt(3) - 1 >= SHARPNESS)
    return fates(results[law].dataset).mean_w.values[stabilised]


CLAIMS: tuple[Claim, ...] = (
    *(_agreement(law) for law in LAWS),
    Claim(
        "For a ≤ 2 no start leaves the interval: |θ| ≤ θ⋆·√(1 + 2/a).",
        "1 if no start is beyond the bound over the last tenth, at each step size",
        _bounded,
        "above",
        0.999,
        centre="mean",
    ),
    Claim(
        "Where the loss stabilises θ shrinks: the mean of θ² lies below θ⋆².",
        "mean of θ²/θ⋆² over starts and the last tenth of the steps, at each a in (1, 1.6)",
        _shrinkage,
        "below",
        1.0,
    ),
)
