"""What `surface` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.surface.compute import (
    DYNAMICS,
    NETWORK,
    folded,
    problem,
    projected,
    truth,
)
from largestep.experiments.andriushchenko2023.surface.figure import animate_paths, draw_surface
from largestep.experiments.claims import Claim, Control
from largestep.experiments.phases import ratio
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


def _test_loss(name: str, results: Results) -> np.ndarray:
    return _end(results, name, "test_loss")


def _distance(name: str, results: Results) -> np.ndarray:
    away: np.ndarray = np.linalg.norm(folded(_end(results, name, "parameters")) - truth(), axis=-1)
    return away


def _turns_back(name: str, results: Results) -> np.ndarray:
    """Return for every seed of SGD how often a path turns back along that seed's steep direction.

    Steep is the first right singular vector of the training Jacobian where SGD's large steps end.
    Between one record and the next lie some forty steps.
    """
    there = results["SGD"].dataset.parameters.isel(schedule=0)
    path = results[name].dataset.parameters.isel(schedule=0)
    steps = float(there.step[-1])
    phase = slice(0.05 * steps, 0.5 * steps)
    turns = np.full(there.sizes["seed"], np.nan)
    for s in range(len(turns)):
        end = there.isel(seed=s).sel(step=phase).values[-1]
        thetas = path.isel(seed=min(s, path.sizes["seed"] - 1)).sel(step=phase).values
        if np.isfinite(end).all() and np.isfinite(thetas).all():
            jacobian = NETWORK.jacobian(end, problem().x_train)
            moves = np.diff(thetas @ np.linalg.svd(jacobian)[2][0])
            turns[s] = np.mean(moves[1:] * moves[:-1] < 0)
    return turns


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "SGD with large steps ends at a lower test loss than gradient flow.",
        "final test loss of SGD over gradient flow's",
        lambda r: ratio(_test_loss("SGD", r), _test_loss("gradient flow", r)),
        "below",
        1.0,
        control=Control(
            "GD with large steps, one trajectory",
            lambda r: ratio(_test_loss("GD", r), _test_loss("gradient flow", r)),
        ),
        beside={name: partial(_test_loss, name) for name in DYNAMICS},
    ),
    Claim(
        "SGD with large steps ends nearer to the truth than gradient flow.",
        "distance of the end to w⋆ = (√θ⋆, √θ⋆), after folding, SGD over gradient flow",
        lambda r: ratio(_distance("SGD", r), _distance("gradient flow", r)),
        "below",
        1.0,
        control=Control(
            "GD with large steps, one trajectory",
            lambda r: ratio(_distance("GD", r), _distance("gradient flow", r)),
        ),
        beside={name: partial(_distance, name) for name in DYNAMICS},
    ),
    Claim(
        "On the surface SGD bounces from side to side of the valley.",
        "share of successive moves along the steepest direction that turn back, from 5 % to 50 % "
        "of the steps (steady motion: 0, a random walk: a half)",
        partial(_turns_back, "SGD"),
        "above",
        0.5,
        control=Control(
            "gradient flow, along the same direction", partial(_turns_back, "gradient flow")
        ),
    ),
)
