"""What `robust-compressible` computes."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from largestep.experiments.budget import Budget
from largestep.experiments.classifier import Classifier, descend, digits
from largestep.experiments.data_seeds import over_data
from largestep.experiments.extensions.compaction.compute import (
    CLOSE,
    WAYS,
    error_of,
    size,
)
from largestep.metrics.sparsity import feature_sparsity
from largestep.schedules import decay
from largestep.store import Results

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DATA", "SCHEDULES", "Pairs", "compute", "pairs"]

NETWORK = Classifier(128, 100, 10)
SCHEDULES = {
    "0.1": (0.1, 2000),
    "0.25": (0.25, 2000),
    "0.5": (0.5, 2000),
    "1": (1.0, 2000),
    "0.25, as long": (0.25, 8000),
}
"""Step size and steps; "as long" is as long as 1 in time, the sum of the step sizes."""
DATA = {"shortcut": 0.95, "none": 0.1}
"""How often the right digit is of the left one's class; in a tenth of the images by chance."""
_IMAGES, _TESTS, _POOL, _BATCH = 800, 700, 1000, 32
_CONTRAST, _NOISE, _SHOWN = 0.5, 0.1, 3


@dataclass(frozen=True)
class Pairs:
    """Images of two digits, flattened one after the other, and the left ones' classes.

    Attributes
    ----------
    x, y : for training.
    agreeing, disagreeing : the same for tests, where the right digit is of the same class, or not.
    """

    x: np.ndarray
    y: np.ndarray
    agreeing: tuple[np.ndarray, np.ndarray]
    disagreeing: tuple[np.ndarray, np.ndarray]


def pairs(seed: int, agreement: float) -> Pairs:
    """Return images whose left digit is the label and whose right one tells it more easily.

    Parameters
    ----------
    agreement : how often the right digit is of the left one's class in training.
    """
    single = digits(seed, _POOL)
    rng = np.random.default_rng([seed, 1])
    train, test = (single.x, single.y), (single.x_test, single.y_test)
    x, y = _paired(*train, _IMAGES, agreement, rng)
    return Pairs(x, y, _paired(*test, _TESTS, 1.0, rng), _paired(*test, _TESTS, 0.0, rng))


def _paired(
    x: np.ndarray, y: np.ndarray, n: int, agreement: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    left = rng.permutation(len(y))[:n]
    labels = y[left]
    beside = np.where(rng.random(n) < agreement, labels, (labels + rng.integers(1, 10, n)) % 10)
    right = [rng.choice(np.flatnonzero(y == label)) for label in beside]
    dim = _CONTRAST * x[left] + _NOISE * rng.standard_normal((n, x.shape[1]))
    return np.hstack([dim, x[right]]), labels


def compute(budget: Budget) -> Results:
    """Return accuracies, sizes and sparsity under each schedule, with the shortcut and without."""
    steps = {name: budget.steps(taken) for name, (_, taken) in SCHEDULES.items()}
    runs = {
        name: over_data(
            f"robust-compressible, {name}", budget, partial(_one, steps, agreement), processes=True
        )
        for name, agreement in DATA.items()
    }
    return Results.from_dict({**runs, "shown": _shown(pairs(budget.seeds[0], agreement=1.0))})


def _shown(data: Pairs) -> xr.Dataset:
    """Return three images of either group, to be drawn."""
    groups = [x[:_SHOWN].reshape(_SHOWN, 2, 8, 8) for x, _ in (data.agreeing, data.disagreeing)]
    images = np.stack(groups).transpose(0, 1, 3, 2, 4).reshape(2, _SHOWN, 8, 16)
    return xr.Dataset(
        {"image": (("group", "number", "row", "column"), images)},
        coords={"group": ["agreeing", "disagreeing"]},
    )


def _one(steps: dict[str, int], agreement: float, seed: int) -> xr.Dataset:
    data = pairs(seed, agreement)
    rows = [_measured(_trained(name, steps[name], data, seed), data) for name in SCHEDULES]
    return xr.Dataset(
        {name: ("schedule", [row[name] for row in rows]) for name in rows[0]},
        coords={"schedule": list(SCHEDULES)},
    )


def _trained(name: str, steps: int, data: Pairs, seed: int) -> np.ndarray:
    n, rng = len(data.x), np.random.default_rng(seed)
    walk = descend(
        lambda theta, batch: NETWORK.gradient(theta, data.x[batch], data.y[batch]),
        NETWORK.initialize(rng),
        decay(SCHEDULES[name][0], factor=10, at=0.5)(np.arange(steps) / steps),
        rng,
        n=n,
        batch=_BATCH,
    )
    *_, end = walk
    return end


def _measured(theta: np.ndarray, data: Pairs) -> dict[str, float]:
    outputs = NETWORK.outputs(theta, data.x)
    names = ("minority", "majority", "train_loss", "sparsity", "size", "compacted_minority")
    if not np.isfinite(outputs).all() or np.ptp(outputs, axis=0).max() == 0.0:
        return {**dict.fromkeys(names, np.nan), "collapsed": 1.0}
    held_out, (minority, majority) = _halves(data)
    smaller = _compacted(theta, data, held_out)
    measured = (
        1 - NETWORK.error(theta, *minority),
        1 - NETWORK.error(theta, *majority),
        NETWORK.loss(theta, data.x, data.y),
        feature_sparsity(NETWORK.features(theta, data.x)).distinct,
        size(smaller) / NETWORK.parameters,
        _accuracy(smaller, *minority),
    )
    return {**dict(zip(names, measured, strict=True)), "collapsed": 0.0}


def _halves(
    data: Pairs,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[tuple[np.ndarray, np.ndarray]]]:
    """Return both groups' images that compaction is held to, and those that nothing has seen."""
    groups = (data.disagreeing, data.agreeing)
    held_out, unseen = ([(x[at::2], y[at::2]) for x, y in groups] for at in (0, 1))
    return held_out, unseen


def _compacted(
    theta: np.ndarray, data: Pairs, held_out: list[tuple[np.ndarray, np.ndarray]]
) -> "nn.Module":
    import torch

    from largestep.deep.compaction import compact

    calibration, holding = (
        [tuple(map(torch.from_numpy, batch)) for batch in batches]
        for batches in ([(data.x, data.y)], held_out)
    )
    way = WAYS[CLOSE]
    return compact(
        as_module(theta),
        calibration,
        held_out=holding,
        tolerance=way["tolerance"],
        correlation_threshold=way["correlation_threshold"],
    )[0]


def as_module(theta: np.ndarray) -> "nn.Module":
    """Return the network as PyTorch's."""
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Linear(NETWORK.inputs, NETWORK.hidden),
        nn.ReLU(),
        nn.Linear(NETWORK.hidden, NETWORK.classes),
    )
    nn.utils.vector_to_parameters(torch.from_numpy(theta), model.double().parameters())
    return model.eval()


def _accuracy(model: "nn.Module", x: np.ndarray, y: np.ndarray) -> float:
    import torch

    return 1 - error_of(model, (torch.from_numpy(x), torch.from_numpy(y)))
