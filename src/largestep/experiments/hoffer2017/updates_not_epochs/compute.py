"""What `updates-not-epochs` computes."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from largestep.experiments.budget import Budget
from largestep.experiments.classifier import Classifier, Labelled, descend, digits
from largestep.experiments.data_seeds import over_data
from largestep.metrics.sparsity import feature_sparsity
from largestep.schedules import decay
from largestep.store import Results

__all__ = ["WAYS", "Way", "compute", "uphill"]

NETWORK = Classifier(64, 100, 10)
_IMAGES, _BATCH = 320, 32


@dataclass(frozen=True)
class Way:
    """A way to train: its steps, batch (None for all), step size, and how far uphill it looks."""

    steps: int
    batch: int | None = None
    step_size: float = 0.5
    reach: float = 0.0


WAYS = {
    "SGD, 400 steps": Way(400, _BATCH),
    "SGD, 40": Way(40, _BATCH),
    "GD, 40": Way(40),
    "GD, 400": Way(400),
    "GD regularised, 400": Way(400, reach=1.0),
    "SGD, 400, step size 1": Way(400, _BATCH, 1.0),
    "GD, 400, step size 1": Way(400, step_size=1.0),
}


def compute(budget: Budget) -> Results:
    """Return what each way ends at, along `way`."""
    of = partial(_one, {name: budget.steps(way.steps) for name, way in WAYS.items()})
    return Results.from_dict({"ends": over_data("updates-not-epochs", budget, of, processes=True)})


def _one(steps: dict[str, int], seed: int) -> xr.Dataset:
    data = digits(seed, _IMAGES)
    start = NETWORK.initialize(np.random.default_rng(seed))
    ends = [_end(way, data, start, steps[name], seed) for name, way in WAYS.items()]
    return xr.Dataset(
        {
            "test_error": ("way", [NETWORK.error(e, data.x_test, data.y_test) for e in ends]),
            "train_loss": ("way", [NETWORK.loss(e, data.x, data.y) for e in ends]),
            "sparsity": ("way", [_sparsity(end, data) for end in ends]),
        },
        coords={"way": list(WAYS)},
    )


def _end(way: Way, data: Labelled, start: np.ndarray, steps: int, seed: int) -> np.ndarray:
    def gradient(theta: np.ndarray, batch: np.ndarray) -> np.ndarray:
        return uphill(NETWORK, theta, data.x[batch], data.y[batch], way.reach)

    step_sizes = decay(way.step_size, factor=10, at=0.5)(np.arange(steps) / steps)
    rng, n = np.random.default_rng(seed), len(data.x)
    *_, end = descend(gradient, start, step_sizes, rng, n=n, batch=way.batch or n)
    return end


def uphill(
    network: Classifier, theta: np.ndarray, x: np.ndarray, y: np.ndarray, reach: float
) -> np.ndarray:
    """Return the gradient taken at θ + reach·∇L(θ): of L + (reach/2)‖∇L‖², to first order."""
    gradient = network.gradient(theta, x, y)
    return network.gradient(theta + reach * gradient, x, y) if reach else gradient


def _sparsity(theta: np.ndarray, data: Labelled) -> float:
    features = NETWORK.features(theta, data.x)
    return feature_sparsity(features).distinct if np.isfinite(features).all() else float("nan")
