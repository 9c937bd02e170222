"""What `bouncing` computes: where paths lead on the plateau, and the noise along them."""

from functools import partial

import numpy as np
import xarray as xr

from largestep.dynamics import SGD, LabelNoise, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import LARGE, SMALL, setting
from largestep.experiments.budget import Budget
from largestep.measures import Measure, parameters
from largestep.networks import Network
from largestep.problems import Problem
from largestep.store import Results

PATHS, NOISY = "paths", "label noise"
SIGMA = 0.1
TIMES = (0.01, 0.02, 0.03)
"""Where the first way starts, where it ends and the second starts, and where that ends."""


def compute(budget: Budget) -> Results:
    """Return paths along slow and fast directions, and noise against loss."""
    chosen = setting()
    steps = budget.steps(chosen.steps)
    run = partial(
        simulate,
        chosen.network,
        chosen.problem,
        steps=steps,
        seeds=budget.seeds,
        record=np.unique(np.linspace(0, 1, 401) * steps // 1).astype(int),
        threads=budget.threads,
        executor=budget.executor,
    )
    runs = run(
        SGD(cap=chosen.cap),
        {SMALL: chosen.schedules[SMALL], LARGE[2]: chosen.schedule},
        measure=(
            "train_loss",
            _noise_measure(0.0),
            Measure("imbalance", imbalance, "imbalance Σ|u² − v²|"),
            parameters(),
        ),
        progress=budget.described("bouncing"),
    )
    noisy = run(
        LabelNoise(SIGMA, of=SGD(cap=chosen.cap)),
        {SMALL: chosen.schedules[SMALL]},
        measure=("train_loss", _noise_measure(SIGMA)),
        progress=budget.described("bouncing, label noise"),
    )
    paths = followed(chosen.network, chosen.problem, runs.parameters)
    return Results.from_dict({PATHS: runs.drop_vars("parameters").merge(paths), NOISY: noisy})


def _noise_measure(sigma: float) -> Measure:
    return Measure("noise", partial(gradient_noise, sigma), "trace of the gradient's covariance")


def imbalance(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    """Return Σ_j |u_j² − v_j²| of a diagonal network."""
    u, v = np.split(thetas, 2, axis=1)
    return np.abs(u**2 - v**2).sum(axis=1)


def gradient_noise(
    sigma: float, network: Network, problem: Problem, thetas: np.ndarray
) -> np.ndarray:
    """Return the trace of the covariance of one example's gradient of a squared loss.

    (2c)²·((1/n) Σ (r_i² + σ²)‖φ_i‖² − ‖(1/n) Σ r_i φ_i‖²) for the loss c r² and labels with noise
    of standard deviation σ.
    """
    noise = np.empty(len(thetas))
    for k, theta in enumerate(thetas):
        jacobian = network.jacobian(theta, problem.x_train)
        slopes = problem.loss.slope(network.predict(theta, problem.x_train), problem.y_train)
        squares = slopes**2 + (problem.loss.scale * sigma) ** 2
        mean = slopes @ jacobian / problem.n
        noise[k] = np.mean(squares * np.sum(jacobian**2, axis=1)) - np.sum(mean**2)
    return noise


def followed(network: Network, problem: Problem, thetas: xr.DataArray) -> xr.Dataset:
    """Return where paths lead, in the slow and in the fast directions.

    Returns
    -------
    Dataset with `cosine` of dimensions (schedule, seed, speed), of the first way with the second;
    and `fastest` of dimensions (schedule, seed, step), the path's coordinate along the first right
    singular vector of the Jacobian between them. NaN for a seed that diverged before the ways end.
    """
    steps = float(thetas.step[-1])
    start, middle, end = (int(np.searchsorted(thetas.step, t * steps)) for t in TIMES)
    shape = (thetas.sizes["schedule"], thetas.sizes["seed"], 2)
    cosine = np.full(shape, np.nan)
    fastest = np.full((*shape[:2], thetas.sizes["step"]), np.nan)
    for i, j in np.ndindex(shape[:2]):
        path = thetas.values[i, j]
        if not np.isfinite(path[end]).all():
            continue
        jacobian = network.jacobian(path[middle], problem.x_train)
        _, sizes, directions = np.linalg.svd(jacobian, full_matrices=False)
        directions = directions[sizes > 1e-10 * sizes[0]]
        ways = np.stack([path[middle] - path[start], path[end] - path[middle]])
        fast = ways @ directions.T @ directions
        slow = ways - fast
        for s, (first, second) in enumerate((slow, fast)):
            scale = np.linalg.norm(first) * np.linalg.norm(second)
            cosine[i, j, s] = first @ second / scale if scale > 0 else np.nan
        fastest[i, j] = path @ directions[0]
    dims = ("schedule", "seed")
    return xr.Dataset(
        {"cosine": ((*dims, "speed"), cosine), "fastest": ((*dims, "step"), fastest)},
        coords={"speed": ["slow", "fast"]},
    )
