"""What `weak-features` computes."""

from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from largestep._progress import track
from largestep.dynamics import GD, SGD, simulate
from largestep.experiments.budget import Budget
from largestep.measures import Measure, critical_step_size, curvature
from largestep.networks import DiagonalLinear, Gaussian, Network, Patches
from largestep.problems import Problem, feature_noise
from largestep.schedules import decay
from largestep.store import Results

__all__ = ["MULTIPLES", "ON_PATCHES_GD", "WEAK", "compute"]

MULTIPLES = (0.5, 0.9, 1.1, 1.3, 1.5, 1.9)
"""Of the edge of stability."""
ON_PATCHES_GD = (0.9, 1.5)
WEAK = 0.2
_NOISE = 100
_CAP = 4.0
_ASKED = 0.2
"""Share of the points that lack the strong feature, in the data that ask for the weak one."""


def compute(budget: Budget) -> Results:
    """Return the runs of SGD and GD, on data that ask for the weak feature, and on patches."""
    network = DiagonalLinear(2 + _NOISE, u0=0.1)
    names = ("sgd", "gd", "asked", "patches sgd", "patches gd")
    found: dict[str, list[xr.Dataset]] = {name: [] for name in names}
    with track(budget.described("weak-features, data sets"), len(budget.seeds)) as advance:
        for seed in budget.seeds:
            data = partial(feature_noise, weak=WEAK, noise_coordinates=_NOISE, seed=seed)
            both, asking = data(), data(only_weak=_ASKED)
            edge = _edge(network, both, budget)
            run = partial(_run, network, seed=seed, edge=edge, budget=budget)
            found["sgd"].append(run(both, SGD(cap=_CAP), steps=40_000))
            found["gd"].append(run(both, GD(), steps=2_000))
            found["asked"].append(run(asking, SGD(cap=_CAP), steps=40_000))
            for name, run_there in _on_patches(both, seed, budget).items():
                found[f"patches {name}"].append(run_there)
            advance()
    return Results.from_dict({name: xr.concat(runs, "seed") for name, runs in found.items()})


def _run(
    network: Network,
    problem: Problem,
    dynamics: SGD | GD,
    *,
    seed: int,
    edge: float,
    steps: int,
    budget: Budget,
) -> xr.Dataset:
    steps = budget.steps(steps)
    runs = simulate(
        network,
        problem,
        dynamics,
        {f"{k:g}": decay(k * edge, factor=10, at=0.5) for k in MULTIPLES},
        steps=steps,
        record=np.unique(np.linspace(0, steps, 41).astype(np.int64)),
        seeds=[seed],
        measure=[
            "train_loss",
            "test_loss",
            Measure("weak_share", partial(_share, 0, WEAK), "share of the weak feature"),
            Measure("strong_share", partial(_share, 1, 1.0), "share of the strong feature"),
        ],
        threads=budget.threads,
        executor=budget.executor,
    )
    return runs.assign(edge=("seed", [edge]))


def _on_patches(problem: Problem, seed: int, budget: Budget) -> dict[str, xr.Dataset]:
    """Return SGD and GD of the paper's network, at multiples of their own edges."""
    network, problem = Patches(3, 2 + _NOISE, 5, Gaussian(0.1)), _in_patches(problem)
    steps = budget.steps(1_000)
    small = simulate(
        network,
        problem,
        GD(),
        0.5,
        steps=steps,
        record=[steps],
        seeds=[seed],
        measure=[curvature(), critical_step_size()],
        threads=1,
    ).squeeze(drop=True)
    edges = {
        "sgd": float(small.critical_step_size),
        "gd": 2.0 / float(small.curvature.sel(quantity="largest")),
    }
    runs = {
        "sgd": (SGD(cap=_CAP), MULTIPLES, budget.steps(20_000)),
        "gd": (GD(), ON_PATCHES_GD, budget.steps(2_000)),
    }
    return {
        name: simulate(
            network,
            problem,
            dynamics,
            {f"{k:g}": decay(k * edges[name], factor=10, at=0.5) for k in multiples},
            steps=steps,
            record=[steps],
            seeds=[seed],
            measure=["train_loss", "test_loss", "test_error"],
            threads=budget.threads,
            executor=budget.executor,
        ).assign(edge=("seed", [edges[name]]))
        for name, (dynamics, multiples, steps) in runs.items()
    }


def _in_patches(problem: Problem) -> Problem:
    """Return the same data with weak feature, strong feature and noise in a patch each."""

    def apart(x: np.ndarray) -> np.ndarray:
        patches = np.zeros((len(x), 3, 2 + _NOISE))
        patches[:, 0, 0], patches[:, 1, 1], patches[:, 2, 2:] = x[:, 0], x[:, 1], x[:, 2:]
        return patches.reshape(len(x), -1)

    return replace(
        problem,
        x_train=apart(problem.x_train),
        x_test=apart(problem.test_inputs),
        description=f"{problem.description}, in three patches",
    )


def _edge(network: Network, problem: Problem, budget: Budget) -> float:
    """Return 2/λ_max where GD with small steps ends."""
    steps = budget.steps(8_000)
    runs = simulate(
        network, problem, GD(), 0.02, steps=steps, record=[steps], measure=[curvature()]
    )
    return 2.0 / float(runs.curvature.sel(quantity="largest").squeeze())


def _share(
    coordinate: int, size: float, network: Network, problem: Problem, thetas: np.ndarray
) -> np.ndarray:
    """Return what one feature adds to the prediction at a point of label 1."""
    assert isinstance(network, DiagonalLinear)
    share: np.ndarray = size * network.coefficients(thetas)[:, coordinate]
    return share
