"""What `surface` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from largestep.dynamics.simulation import _ORDER, RESIDUAL_BOUND, _stream
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
from largestep.experiments.experiment import Caption
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
    steps = results["SGD"].dataset.step.values
    animate_paths(results["plane"].dataset, _paths(results), steps, goal, path)


def play(results: Results) -> dict[str, Any]:
    """Return the problem, and the order of the examples for each seed, for the page's `descent`."""
    data = problem()
    truth = data.truth
    assert truth is not None
    streams = [_stream(seed, _ORDER).bit_generator.state["state"] for seed in range(_PLAYED)]
    return {
        "descent": {
            "x": data.x_train.tolist(),
            "y": data.y_train.tolist(),
            "truth": truth.tolist(),
            "start": [NETWORK.u0, NETWORK.v0],
            "bound": RESIDUAL_BOUND,
            # As text: JavaScript's numbers hold 53 bits of these 128.
            "streams": [[str(state["state"]), str(state["inc"])] for state in streams],
            "seeds": _PLAYED,
            "steps": 5000,
            "every": 25,
            "small": 0.1,
        }
    }


_PLAYED = 20


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


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "Paths of gradient flow, GD and SGD (one seed) on the plane through the start, the "
        "truth and gradient flow's end; a, over the training loss; b, over the test loss. "
        "The darker, the lower the loss; lines say how low. A projected path lies above or "
        "below the surface that is drawn.",
        "Two maps of a curved valley. Gradient flow goes straight into the valley and stays "
        "far from the truth. GD bounces across the valley further up. SGD jumps over the "
        "valley's sides and moves along it to the truth.",
    ),
    "animation": Caption(
        "The same paths as they grow, over the training loss; the title says after which "
        "step. The start is slowed down.",
        "The figure's left panel as a moving picture.",
    ),
}

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
