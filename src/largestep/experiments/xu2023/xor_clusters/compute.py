"""What `xor-clusters` computes."""

from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from largestep.dynamics import GD, simulate
from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data
from largestep.networks import Gaussian, Linear, Network, ReLU
from largestep.problems import Problem, xor_clusters
from largestep.store import Results

__all__ = ["STEPS", "STEP_SIZES", "TOO_LARGE", "compute"]

STEP_SIZES, TOO_LARGE = (0.001, 0.01, 0.1), 10.0
STEPS = 20
_N, _D, _UNITS = 200, 2000, 256
_SPAN = 2 * _N
_RELU = ReLU((_SPAN, _UNITS), False, (Gaussian(1e-5), Gaussian(_UNITS**-0.5)))


def compute(budget: Budget) -> Results:
    """Return the errors after each step of the network, and of a linear predictor."""
    networks: dict[str, Network] = {"relu": _RELU, "linear": Linear(_SPAN)}
    return Results.from_dict(
        {
            name: over_data(f"xor-clusters, {name}", budget, partial(_one, network))
            for name, network in networks.items()
        }
    )


def in_their_span(problem: Problem) -> Problem:
    """Return the same points in coordinates of the space that they span, training and test.

    Gradients lie in it, and of Gaussian weights only their projection on it meets a point: the same
    training, at a fifth of the coordinates.
    """
    points = np.concatenate([problem.x_train, problem.test_inputs])
    _, triangle = np.linalg.qr(points.T)
    coordinates = np.ascontiguousarray(triangle.T)
    return replace(
        problem,
        x_train=coordinates[: problem.n],
        x_test=coordinates[problem.n :],
        truth=None,
        description=f"{problem.description}, in the space that its points span",
    )


def _one(network: Network, seed: int) -> xr.Dataset:
    # Twenty steps are the whole of it, for a quick look too.
    return simulate(
        network,
        in_their_span(xor_clusters(_N, _D, seed, test_points=_N)),
        GD(),
        {f"{eta:g}": eta for eta in (*STEP_SIZES, TOO_LARGE)},
        steps=STEPS,
        seeds=seed,
        record=np.arange(STEPS + 1),
        measure=("train_error", "test_error"),
        threads=1,
    ).isel(seed=0, drop=True)
