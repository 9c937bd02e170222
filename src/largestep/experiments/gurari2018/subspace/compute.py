"""What `subspace` computes."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from largestep.experiments.budget import Budget
from largestep.experiments.classifier import Classifier, Labelled, descend, digits
from largestep.experiments.data_seeds import over_data
from largestep.metrics.spectrum import Eigenvalues, gradient_share, largest_eigenvalues
from largestep.store import Results

__all__ = ["BATCHES", "RUNS", "WAYS", "Training", "compute", "projected"]


@dataclass(frozen=True)
class Training:
    """A run: its classes, step size, batch (None for all) and its length, in 200 steps."""

    classes: int
    step_size: float
    batch: int | None
    length: int = 1


_LARGE, _SMALL = 0.5, 0.05
RUNS = {
    "SGD, 0.5": Training(10, _LARGE, 32),
    "SGD, 0.05": Training(10, _SMALL, 32),
    "SGD, 0.05, as long": Training(10, _SMALL, 32, length=10),
    "GD, 0.5": Training(10, _LARGE, None),
    "SGD, 0.5, three classes": Training(3, _LARGE, 32),
    "SGD, 0.05, three classes": Training(3, _SMALL, 32),
}
"""By name; "as long" is as long as 0.5 in time, the sum of the step sizes."""
WAYS = ("plain", "bulk", "dominant")
BATCHES = (2, 8, 32, 128)
_STEPS, _MOMENTS = 200, 9
_IMAGES, _MANY, _HIDDEN, _BATCH = 400, 1024, 32, 32
_DOMINANT, _RENEWED, _DRAWS = 10, 5, 10
_TO_THE_FLOOR = 20


def compute(budget: Budget) -> Results:
    """Return where the gradient lies, how it learns without a part of it, and batches' spectra."""
    steps = budget.steps(_STEPS)
    parts = {"confinement": _confinement, "learning": _learning, "batches": _batches}
    return Results.from_dict(
        {
            name: over_data(f"subspace, {name}", budget, partial(of, steps), processes=True)
            for name, of in parts.items()
        }
    )


def _start(seed: int, images: int, classes: int) -> tuple[Classifier, Labelled, np.ndarray]:
    network = Classifier(64, _HIDDEN, classes)
    data = digits(seed, images, classes)
    return network, data, network.initialize(np.random.default_rng(seed))


def _path(
    network: Classifier, data: Labelled, theta: np.ndarray, run: Training, steps: int, seed: int
) -> list[np.ndarray]:
    """Return θ at the start and after every step."""
    n = len(data.x)
    walk = descend(
        lambda at, batch: network.gradient(at, data.x[batch], data.y[batch]),
        theta,
        np.full(steps, run.step_size),
        np.random.default_rng(seed),
        n=n,
        batch=run.batch or n,
    )
    return [theta, *walk]


def _top(network: Classifier, data: Labelled, theta: np.ndarray, k: int) -> Eigenvalues:
    return largest_eigenvalues(network.hessian(theta, data.x, data.y), k)


def _confinement(steps: int, seed: int) -> xr.Dataset:
    """Return the gradient's share in the dominant space over training, and that space's overlap."""
    shares, losses, overlaps = [], [], []
    for run in RUNS.values():
        network, data, theta = _start(seed, _IMAGES, run.classes)
        path = _path(network, data, theta, run, steps * run.length, seed)
        points = [path[m] for m in np.linspace(0, len(path) - 1, _MOMENTS).astype(int)]
        k = run.classes - 1
        compared = {_MOMENTS // 2, _MOMENTS - 1}
        spaces = [
            _top(network, data, theta, 2 * k if moment in compared else k).vectors
            for moment, theta in enumerate(points)
        ]
        shares.append(
            [
                gradient_share(network.gradient(theta, data.x, data.y), space[:, :k])
                for theta, space in zip(points, spaces, strict=True)
            ]
        )
        losses.append([network.loss(theta, data.x, data.y) for theta in points])
        half, end = (spaces[moment] for moment in sorted(compared))
        overlaps.append([overlap(half[:, part], end[:, part]) for part in (np.s_[:k], np.s_[k:])])
    return xr.Dataset(
        {
            "share": (("run", "time"), shares),
            "loss": (("run", "time"), losses),
            "overlap": (("run", "directions"), overlaps),
        },
        coords={
            "run": list(RUNS),
            "time": np.linspace(0, 1, _MOMENTS),
            "directions": ["dominant", "next"],
        },
    )


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return ‖VᵀW‖²/k of two orthonormal (p, k): 1 if they span the same, k/p by chance."""
    return float(np.sum((first.T @ second) ** 2)) / first.shape[1]


def projected(gradient: np.ndarray, vectors: np.ndarray, way: str) -> np.ndarray:
    """Return the gradient's part in the span of orthonormal vectors, the rest, or all of it."""
    if way == "plain":
        return gradient
    inside: np.ndarray = vectors @ (vectors.T @ gradient)
    return inside if way == "dominant" else gradient - inside


def _learning(steps: int, seed: int) -> xr.Dataset:
    """Return the loss of the second half of training where a part of the gradient is taken away."""
    network, data, theta = _start(seed, _IMAGES, 10)
    half = steps // 2
    middle = _path(network, data, theta, RUNS["SGD, 0.5"], half, seed)[-1]
    losses, floors, removed = [], [], []
    for way in WAYS:
        path, away = _without(network, data, middle, way, half, seed)
        chosen = path[:: max(half // 20, 1)]
        losses.append([network.loss(theta, data.x, data.y) for theta in chosen])
        floors.append([floor(network, data, theta) for theta in (path[0], path[-1])])
        removed.append(away)
    return xr.Dataset(
        {
            "loss": (("way", "step"), losses),
            "floor": (("way", "end"), floors),
            "removed": ("way", removed),
        },
        coords={
            "way": list(WAYS),
            "step": max(half // 20, 1) * np.arange(len(losses[0])),
            "end": ["before", "after"],
        },
    )


def _without(
    network: Classifier, data: Labelled, theta: np.ndarray, way: str, steps: int, seed: int
) -> tuple[list[np.ndarray], float]:
    """Return θ over steps of the projected gradient, and the mean share of it that was removed."""
    vectors = np.empty((len(theta), 0))
    removed: list[float] = []

    def direction(at: np.ndarray, batch: np.ndarray) -> np.ndarray:
        nonlocal vectors
        if way != "plain" and len(removed) % _RENEWED == 0:
            vectors = _top(network, data, at, _DOMINANT).vectors
        gradient = network.gradient(at, data.x[batch], data.y[batch])
        kept = projected(gradient, vectors, way)
        removed.append(1.0 - float(kept @ kept) / float(gradient @ gradient))
        return kept

    # The three ways see the same batches, other ones than the first half.
    rng = np.random.default_rng([seed, 1])
    step_sizes = np.full(steps, RUNS["SGD, 0.5"].step_size)
    walk = descend(direction, theta, step_sizes, rng, n=len(data.x), batch=_BATCH)
    return [theta, *walk], float(np.mean(removed))


def floor(network: Classifier, data: Labelled, theta: np.ndarray) -> float:
    """Return the training loss where the swings across the valley have been taken out.

    That is after 20 full-batch steps of size 1/λ₁ in the span of the ten dominant directions.
    """
    top = _top(network, data, theta, _DOMINANT)
    for _ in range(_TO_THE_FLOOR):
        slope = projected(network.gradient(theta, data.x, data.y), top.vectors, "dominant")
        theta = theta - slope / top.values[0]
    return network.loss(theta, data.x, data.y)


def _batches(steps: int, seed: int) -> xr.Dataset:
    """Return the largest eigenvalue of batches over that of all images, means over draws."""
    network, data, theta = _start(seed, _MANY, 10)
    end = _path(network, data, theta, RUNS["SGD, 0.5"], steps, seed)[-1]
    whole = _top(network, data, end, 1).values[0]
    rng = np.random.default_rng([seed, 2])
    ratios = []
    for size in BATCHES:
        drawn = [rng.choice(_MANY, size, replace=False) for _ in range(_DRAWS)]
        hessians = [network.hessian(end, data.x[batch], data.y[batch]) for batch in drawn]
        ratios.append(np.mean([largest_eigenvalues(h).values[0] for h in hessians]) / whole)
    return xr.Dataset({"ratio": ("batch", ratios)}, coords={"batch": list(BATCHES)})
