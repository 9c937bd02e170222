"""What `surface` claims, and how it is drawn."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.surface.compute import (
    DYNAMICS,
    SGD_LABEL,
    folded,
    projected,
    truth,
)
from largestep.experiments.andriushchenko2023.surface.figure import animate_paths, draw_surface
from largestep.experiments.claims import Claim
from largestep.experiments.phases import diverges_rarely
from largestep.store import Results


def _paths(results: Results) -> dict[str, np.ndarray]:
    axes = results["plane"].dataset.axes.values
    return {
        name: projected(
            results[name].dataset.parameters.isel(schedule=0, seed=0).dropna("step").values,
            axes,
        )
        for name in DYNAMICS
    }


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw contours of the train and the test loss with the three paths."""
    goal = projected(truth(), results["plane"].dataset.axes.values)
    return {"figure": draw_surface(results["plane"].dataset, _paths(results), goal)}


def animate(results: Results, path: Path) -> None:
    """Write the three paths as a moving picture."""
    goal = projected(truth(), results["plane"].dataset.axes.values)
    animate_paths(results["plane"].dataset, _paths(results), goal, path)


def _end(results: Results, name: str, variable: str) -> np.ndarray:
    return results[name].dataset[variable].isel(schedule=0, step=-1).values


def _test_loss(results: Results) -> np.ndarray:
    ratio: np.ndarray = _end(results, "SGD", "test_loss") / _end(
        results, "gradient flow", "test_loss"
    )
    return ratio


def _distance(results: Results) -> np.ndarray:
    def away(name: str) -> np.ndarray:
        distance: np.ndarray = np.linalg.norm(
            folded(_end(results, name, "parameters")) - truth(), axis=-1
        )
        return distance

    return away("SGD") / away("gradient flow")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "SGD with large steps ends at a lower test loss than gradient flow.",
        "final test loss of SGD over gradient flow's",
        _test_loss,
        "below",
        1.0,
    ),
    Claim(
        "SGD with large steps ends nearer to the truth than gradient flow.",
        "distance of the end to w⋆ = (√θ⋆, √θ⋆), after folding, SGD over gradient flow",
        _distance,
        "below",
        1.0,
    ),
    diverges_rarely("SGD", SGD_LABEL),
)
