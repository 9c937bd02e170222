"""What `gradient-regularization` computes."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from largestep._progress import track
from largestep.dynamics import GD, SAM, SGD, Dynamics, GradientRegularization, simulate
from largestep.experiments.budget import Budget
from largestep.measures import Measure
from largestep.networks import DiagonalLinear, Network
from largestep.problems import Problem
from largestep.store import Results

__all__ = ["FULL", "PER_EXAMPLE", "SADDLE", "UPHILL", "compute"]

UPHILL = (-2, -1, 1, 2, 4, 8)
"""ε over γ."""
FULL = (-1, 1, 2)
PER_EXAMPLE = (-0.03, 0.1, 0.3, 1.0)
"""ε, with γ = 0.1."""
SADDLE = (0.95, 1.05)
"""ρ over ρ⋆."""
_N, _D, _SUPPORT = 50, 100, 5
_DIMENSIONS = 5


def compute(budget: Budget) -> Results:
    """Return what each way of regularising ends at, along `way`."""
    network = DiagonalLinear(_D, u0=0.1)
    found: dict[str, list[xr.Dataset]] = {
        "uncentred": [],
        "uncentred weak": [],
        "full batch": [],
        "per example": [],
        "saddle": [],
    }
    with track(budget.described("gradient-regularization, data sets"), len(budget.seeds)) as done:
        for seed in budget.seeds:
            uncentred, centred = _problem(seed, 5.0, 5.0), _problem(seed, 0.0, 1.0)
            for name, gamma in (("uncentred", 0.005), ("uncentred weak", 0.005 / 100)):
                ways = {f"{m}": _penalised(gamma, m * gamma) for m in UPHILL}
                ways = {"GD": GD(), **ways}
                found[name].append(_ends(network, uncentred, ways, 5e-4, 12_000, seed, budget))
            full = {"GD": GD(), **{f"{m}": _penalised(0.5, m * 0.5) for m in FULL}}
            found["full batch"].append(_ends(network, centred, full, 0.05, 12_000, seed, budget))
            own: dict[str, Dynamics] = {"SGD": SGD()}
            own |= {f"{e:g}": GradientRegularization(0.1, e) for e in PER_EXAMPLE}
            found["per example"].append(_ends(network, centred, own, 0.05, 60_000, seed, budget))
            found["saddle"].append(_saddle(seed, budget))
            done()
    return Results.from_dict({name: xr.concat(runs, "seed") for name, runs in found.items()})


def _penalised(strength: float, reach: float) -> Dynamics:
    return GradientRegularization(strength, reach, GD(), per_example=False)


def _problem(seed: int, mean: float, deviation: float) -> Problem:
    rng = np.random.RandomState(seed)
    x, x_test = (rng.normal(mean, deviation, (n, _D)) for n in (_N, 1000))
    truth = np.zeros(_D)
    truth[:_SUPPORT] = _SUPPORT**-0.5
    return Problem(
        x, x @ truth, x_test, x_test @ truth, truth, description=f"N({mean:g}, {deviation:g}²)"
    )


def _ends(
    network: Network,
    problem: Problem,
    ways: Mapping[str, Dynamics],
    step_size: float,
    steps: int,
    seed: int,
    budget: Budget,
    initial: np.ndarray | None = None,
) -> xr.Dataset:
    taken = budget.steps(steps)
    ends = [
        simulate(
            network,
            problem,
            dynamics,
            {way: step_size},
            steps=taken,
            record=[taken],
            seeds=[seed],
            measure=["train_loss", "test_loss", _DISTANCE, _SIZE],
            threads=budget.threads,
            executor=budget.executor,
            initial=initial,
        ).isel(step=0)
        for way, dynamics in ways.items()
    ]
    return xr.concat(ends, "schedule").rename(schedule="way").drop_attrs(deep=False)


def _saddle(seed: int, budget: Budget) -> xr.Dataset:
    """Return where SAM ends that starts near zero, below and above the critical ρ."""
    rng = np.random.RandomState(seed)
    x = rng.standard_normal((_N, _DIMENSIONS))
    truth = rng.uniform(0.5, 1.5, _DIMENSIONS) * rng.choice([-1.0, 1.0], _DIMENSIONS)
    problem = Problem(x, x @ truth, truth=truth, description="near the saddle")
    critical = 1.0 / np.abs(problem.x_train.T @ problem.y_train / problem.n).min()
    ways = {f"{m:g}": SAM(m * critical, GD(), per_example=False) for m in SADDLE}
    start = 0.01 * rng.standard_normal(2 * _DIMENSIONS)
    network = DiagonalLinear(_DIMENSIONS)
    return _ends(network, problem, ways, 0.01, 100_000, seed, budget, initial=start)


def _distance(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    assert isinstance(network, DiagonalLinear)
    assert problem.truth is not None
    squared: np.ndarray = np.sum((network.coefficients(thetas) - problem.truth) ** 2, axis=-1)
    return squared


def _size(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    assert isinstance(network, DiagonalLinear)
    return np.asarray(np.linalg.norm(network.coefficients(thetas), axis=-1))


_DISTANCE = Measure("distance", _distance, "‖β − β⋆‖²")
_SIZE = Measure("size", _size, "‖β‖")
