"""What `shrinkage` computes: how fast the SDE's noise shrinks the coordinates, by its strength."""

import numpy as np
import xarray as xr

from largestep.dynamics import ConstantNoiseSDE, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting
from largestep.experiments.budget import Budget
from largestep.measures import Measure, nonzero_coordinates
from largestep.networks import Network
from largestep.problems import Problem
from largestep.store import Results

MULTIPLICATIVE, ADDITIVE = "SDE", "additive noise"
STEP_SIZE, DELTA = 0.282, 0.11 / 80
FACTORS = (0.25, 0.5, 1.0, 2.0)


def compute(budget: Budget) -> Results:
    """Return imbalances and coordinates over training, by the factor on δ."""
    chosen = setting()
    steps = budget.steps(2000)
    record = np.unique(np.linspace(0, steps, 81).astype(int))
    measures = (
        "train_loss",
        nonzero_coordinates(),
        Measure("imbalance", log_imbalance, "median ln|u² − v²|"),
    )
    runs = [
        simulate(
            chosen.network,
            chosen.problem,
            ConstantNoiseSDE(factor * DELTA),
            STEP_SIZE,
            steps=steps,
            seeds=budget.seeds,
            record=record,
            measure=measures,
            threads=budget.threads,
            executor=budget.executor,
            progress=budget.described(f"shrinkage, {factor:g} δ"),
        ).isel(schedule=0, drop=True)
        for factor in FACTORS
    ]
    added = [
        _with_additive_noise(chosen.network, chosen.problem, factor * DELTA, record, budget.seeds)
        for factor in FACTORS
    ]
    along = xr.DataArray(list(FACTORS), dims="factor", name="factor")
    return Results.from_dict(
        {
            MULTIPLICATIVE: xr.concat(runs, along, combine_attrs="drop_conflicts"),
            ADDITIVE: xr.concat(added, along),
        }
    )


def log_imbalance(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    """Return the median over coordinates of ln|u_j² − v_j²|; NaN where half are balanced."""
    u, v = np.split(thetas, 2, axis=1)
    size = np.abs(u**2 - v**2)
    middle: np.ndarray = np.median(np.log(np.maximum(size, 1e-300)), axis=1)
    return np.where(np.median(size, axis=1) > 1e-290, middle, np.nan)


def expected_rate(factor: float) -> float:
    """Return how fast ln|u_j² − v_j²| is expected to fall: η²δ Σ_i x_ij² a step, the median."""
    squares = np.sum(setting().problem.x_train ** 2, axis=0)
    return float(STEP_SIZE**2 * factor * DELTA * np.median(squares))


def _with_additive_noise(
    network: Network, problem: Problem, delta: float, record: np.ndarray, seeds: list[int]
) -> xr.Dataset:
    """Return GD with isotropic noise of the variance that the SDE's has at the start, in all."""
    x, y = problem.x_train, problem.y_train
    d = problem.d
    thetas = np.stack([network.initialize(np.random.default_rng(0)) for _ in seeds])
    rngs = [np.random.default_rng([seed, 1]) for seed in seeds]
    variance = STEP_SIZE**2 * delta * np.sum(network.jacobian(thetas[0], x) ** 2)
    scale = np.sqrt(variance / network.parameters)
    kept = np.empty((len(seeds), len(record)))
    coordinates = np.empty_like(kept)
    counted = nonzero_coordinates()
    mark = 0
    for step in range(int(record[-1]) + 1):
        if step == record[mark]:
            kept[:, mark] = log_imbalance(network, problem, thetas)
            coordinates[:, mark] = counted.function(network, problem, thetas)
            mark += 1
        u, v = thetas[:, :d], thetas[:, d:]
        with np.errstate(over="ignore", invalid="ignore"):
            pull = ((u * v) @ x.T - y) @ x / problem.n
            drift = np.concatenate([pull * v, pull * u], axis=1)
            noise = np.stack([rng.standard_normal(network.parameters) for rng in rngs])
            thetas = thetas - STEP_SIZE * drift + scale * noise
    dims = ("seed", "step")
    return xr.Dataset(
        {"imbalance": (dims, kept), "nonzero_coordinates": (dims, coordinates)},
        coords={"seed": seeds, "step": record},
    )
