"""What `stability` computes."""

from typing import Any

import numpy as np
import xarray as xr

from largestep import metrics
from largestep.dynamics import GD, SGD, Dynamics, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting as diagonal
from largestep.experiments.budget import Budget
from largestep.measures import curvature, parameters
from largestep.networks import DiagonalLinear, Linear, Network
from largestep.problems import Problem
from largestep.store import Results

__all__ = ["BATCHES", "GD_STEPS", "SGD_STEPS", "compute"]

SGD_STEPS = (0.001, 0.01, 0.02, 0.05)
GD_STEPS = (0.01, 0.1, 0.5)
BATCHES = (1, 2, 4, 8)
_CAP = 4.0
_D, _N = 300, 100
_FOUND_AT, _MINIMA = 0.05, 10
"""The step size at which SGD finds the minima whose thresholds are taken, and how many."""
_AROUND = np.linspace(0.9, 1.3, 17)
"""Multiples of the exact threshold at which the linearised SGD is simulated."""
_ORDERS = 8


def compute(budget: Budget) -> Results:
    """Return the runs, and the thresholds of the minima that SGD found."""
    network, problem = DiagonalLinear(_D), _problem()
    starts = np.stack([np.random.default_rng(s).standard_normal(2 * _D) for s in budget.seeds])
    shared: dict[str, Any] = {
        "seeds": budget.seeds,
        "measure": ["train_loss", "test_loss", curvature(), parameters()],
        "threads": budget.threads,
        "executor": budget.executor,
    }
    runs = {}
    first: list[tuple[str, Dynamics, tuple[float, ...], int]] = [
        ("sgd", SGD(cap=_CAP), SGD_STEPS, 200_001),
        ("gd", GD(), GD_STEPS, 4_001),
    ]
    for name, dynamics, step_sizes, steps in first:
        taken = budget.steps(steps)
        runs[name] = simulate(
            network,
            problem,
            dynamics,
            {f"{eta:g}": eta for eta in step_sizes},
            steps=taken,
            record=[0, taken],
            initial=starts,
            progress=budget.described(f"stability, {name}"),
            **shared,
        )
    paper = diagonal()
    second: list[tuple[str, Dynamics, tuple[float, ...]]] = [
        ("diagonal sgd", SGD(cap=_CAP), (0.02, _FOUND_AT, 0.26)),
        ("diagonal gd", GD(), (0.2, 2.5)),
    ]
    for name, dynamics, step_sizes in second:
        taken = budget.steps(20_001)
        runs[name] = simulate(
            paper.network,
            paper.problem,
            dynamics,
            {f"{eta:g}": eta for eta in step_sizes},
            steps=taken,
            record=[0, taken],
            # GD's seeds differ by their start alone, which is the paper's but for a thousandth.
            initial=np.stack([_near(paper.network, seed) for seed in budget.seeds]),
            progress=budget.described(f"stability, {name}"),
            **shared,
        )
    found = runs["diagonal sgd"].parameters.sel(schedule=f"{_FOUND_AT:g}").isel(step=-1)
    minima = found.isel(seed=slice(_MINIMA))
    runs["thresholds"] = _thresholds(paper.network, paper.problem, minima, budget)
    return Results.from_dict(runs)


def _problem() -> Problem:
    rng = np.random.RandomState(0)
    x, x_test = rng.uniform(-1, 1, (_N, _D)), rng.uniform(-1, 1, (1000, _D))
    truth = np.zeros(_D)
    truth[:3] = 1.0
    return Problem(
        x, x @ truth, x_test, x_test @ truth, truth, description="uniform inputs, three ones"
    )


def _near(network: Network, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    start = network.initialize(rng)
    return start * (1.0 + 1e-3 * rng.standard_normal(start.shape))


def _thresholds(
    network: Network, problem: Problem, minima: xr.DataArray, budget: Budget
) -> xr.Dataset:
    """Return for each minimum and batch size the threshold: exact, simulated, and two bounds."""
    ways = ("exact", "simulated", "trace bound", "2/λ_max")
    values = np.full((len(minima), len(BATCHES), len(ways)), np.nan)
    for number, theta in enumerate(minima.values):
        if not np.isfinite(theta).all():
            continue
        _, singular, axes = np.linalg.svd(network.jacobian(theta, problem.x_train))
        rows = network.jacobian(theta, problem.x_train) @ axes[: problem.n].T
        spectrum = singular**2 / problem.n
        for column, batch in enumerate(BATCHES):
            exact = metrics.critical_step_size(rows, batch)
            bound = metrics.stability(
                1.0,
                sharpness=spectrum[0],
                trace=spectrum.sum(),
                frobenius_norm=np.sqrt(np.sum(spectrum**2)),
                batch_size=batch,
            )
            values[number, column] = (
                exact,
                _simulated(rows, batch, exact, budget),
                1.0 / bound.sgd,
                1.0 / bound.gradient_descent,
            )
    return xr.Dataset(
        {"threshold": (("seed", "batch", "way"), values)},
        coords={"seed": minima.seed.values, "batch": list(BATCHES), "way": list(ways)},
    )


def _simulated(rows: np.ndarray, batch: int, exact: float, budget: Budget) -> float:
    """Return the step size at which the linearised SGD's typical trajectory starts to grow."""
    n, r = rows.shape
    steps = budget.steps(10_000)
    runs = simulate(
        Linear(r),
        Problem(rows, np.zeros(n), description="linearised"),
        SGD(batch),
        {f"{share:.3f}": share * exact for share in _AROUND},
        steps=steps,
        record=[steps // 5, steps],
        seeds=range(_ORDERS),
        initial=np.ones(r),
        measure=[parameters()],
        residual_bound=1e300,
        threads=budget.threads,
        executor=budget.executor,
    )
    # The largest entry, as no square of it overflows; what has vanished no longer falls.
    logarithms = np.log(np.maximum(np.abs(runs.parameters.values).max(axis=-1), 1e-300))
    growth = np.diff(logarithms, axis=-1)[..., 0].mean(axis=1)
    growing = np.flatnonzero(growth > 0)
    if growing.size == 0 or growing[0] == 0:
        return float("nan")
    at = growing[0]
    share = np.interp(0.0, growth[at - 1 : at + 1], _AROUND[at - 1 : at + 1])
    return float(share * exact)
