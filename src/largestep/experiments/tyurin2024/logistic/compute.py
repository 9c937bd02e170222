"""What `logistic` computes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from largestep.dynamics import GD, SGD, Dynamics, NormalizedGD, simulate
from largestep.experiments.budget import Budget
from largestep.experiments.data_seeds import over_data
from largestep.experiments.digits import drawn
from largestep.losses import Loss, logistic, perceptron
from largestep.measures import nonzero_coordinates
from largestep.networks import DiagonalLinear, Linear
from largestep.problems import Problem, sparse_regression
from largestep.schedules import decay
from largestep.store import Results

STEP_SIZES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
LIMIT = (1.0, 1e3, 1e4, 1e5, 1e6)
PLAIN, NORMALISED = "GD", "normalised GD"
DYNAMICS: Mapping[str, Dynamics] = {PLAIN: GD(), NORMALISED: NormalizedGD()}
DIAGONAL = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
DIGITS = (3, 8)
MOST_STEPS = 10_000

# h is as large as the step size, which nothing here bounds.
_NO_BOUND = 1e15


def digits(seed: int, n: int = 250) -> Problem:
    """Return n of scikit-learn's images of 3 and 8, of labels −1 and 1; the others are the test's.

    Pixels lie in [0, 1], and a column of ones is the bias.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is missing.
    """
    images, labels = drawn(seed, DIGITS)
    x = np.column_stack([images, np.ones(len(images))])
    y = np.where(labels == DIGITS[1], 1.0, -1.0)
    return Problem(x[:n], y[:n], x[n:], y[n:], loss=logistic, description=f"digits 3, 8; {seed}")


def worst_case(n: int = 1000) -> Problem:
    """Return one point of the class 1 and n − 1 equal ones of the class −1 (the paper's)."""
    x = np.array([[0.5, -1.0]] + [[-0.5, -1.0]] * (n - 1))
    return Problem(x, np.repeat([1.0, -1.0], [1, n - 1]), loss=logistic, description="worst case")


def compute(budget: Budget) -> Results:
    """Return iterations until separation, the limit of large steps, and a diagonal network."""
    most, steps = budget.steps(MOST_STEPS), budget.steps(50_000)
    return Results.from_dict(
        {
            "digits": over_data("logistic, digits", budget, lambda s: separation(digits(s), most)),
            "worst case": separation(worst_case(), most),
            "limit": over_data("logistic, limit", budget, lambda s: limit(digits(s), most)),
            "diagonal": over_data("logistic, diagonal", budget, partial(_diagonal, steps)),
        }
    )


def separation(problem: Problem, most: int) -> xr.Dataset:
    """Return after how many iterations no training point is on the wrong side, and at what loss.

    Parameters
    ----------
    problem : labels ±1; its loss is not looked at.
    most : iterations after which it is given up.

    Returns
    -------
    Dataset over `way` and `step_size`: `iterations`, and NaN where points were on the wrong side
    to the end; `given_up_at` is the last iteration then, NaN otherwise. `peak_loss` is the largest
    training loss after the first step and up to there, `test_error` the one there.
    `perceptron` holds the batch perceptron's iterations, which have no step size.
    """
    found = [
        [_separated(problem, dynamics, logistic, step_size, most) for step_size in STEP_SIZES]
        for dynamics in DYNAMICS.values()
    ]
    names = ("iterations", "given_up_at", "peak_loss", "test_error")
    dims = ("way", "step_size")
    return xr.Dataset(
        {
            name: (dims, values)
            for name, values in zip(names, np.moveaxis(np.array(found), -1, 0), strict=True)
        }
        | {"perceptron": _separated(problem, GD(), perceptron, 1.0, most)[0]},
        coords={"way": list(DYNAMICS), "step_size": list(STEP_SIZES)},
    )


def limit(problem: Problem, most: int) -> xr.Dataset:
    """Return how far θ/γ is from the perceptron's θ when that separates, relative to its norm."""
    end = _separated(problem, GD(), perceptron, 1.0, most)[0]
    if np.isnan(end):
        distance = np.full(len(LIMIT), np.nan)
    else:
        aim = _run(problem, GD(), perceptron, {"1": 1.0}, int(end)).parameters.values[0, -1]
        run = _run(problem, GD(), logistic, {f"{s:g}": s for s in LIMIT}, int(end))
        away = run.parameters.values[:, -1] / np.array(LIMIT)[:, np.newaxis] - aim
        distance = np.linalg.norm(away, axis=1) / np.linalg.norm(aim)
    return xr.Dataset({"distance": ("step_size", distance)}, coords={"step_size": list(LIMIT)})


def _separated(
    problem: Problem, dynamics: Dynamics, loss: Loss, step_size: float, most: int
) -> tuple[float, float, float, float]:
    """Return iterations, iterations after which it was given up, peak loss, test error."""
    # Most need a hundredth of that: begun again, longer, where it is not enough.
    for steps in (most // 50, most // 10, most // 3, most):
        run = _run(problem, dynamics, loss, {"": step_size}, steps).isel(schedule=0)
        right = run.train_error.values == 0.0
        if right.any():
            break
    end = int(right.argmax()) if right.any() else steps
    peak, error = float(run.train_loss[1 : end + 1].max()), float(run.test_error[end])
    return (end, np.nan, peak, error) if right.any() else (np.nan, end, peak, error)


def _run(
    problem: Problem, dynamics: Dynamics, loss: Loss, step_sizes: Mapping[str, float], steps: int
) -> xr.Dataset:
    return simulate(
        Linear(problem.d),
        replace(problem, loss=loss),
        dynamics,
        step_sizes,
        steps=steps,
        record=np.arange(steps + 1),
        measure=("train_loss", "train_error", "test_error", "parameters"),
        residual_bound=_NO_BOUND,
        threads=1,
    ).isel(seed=0, drop=True)


def _diagonal(steps: int, seed: int) -> xr.Dataset:
    """Return the ends of SGD on sparse labels: every step size sees the same order."""
    data = sparse_regression(n=80, d=200, nonzeros=10, seed=seed)
    problem = replace(
        data,
        y_train=np.sign(data.y_train),
        y_test=np.sign(data.test_targets),
        loss=logistic,
        description=f"signs of {data.description}",
    )
    run = simulate(
        DiagonalLinear(200, u0=0.1),
        problem,
        SGD(),
        {f"{s:g}": decay(s, factor=10, at=0.5) for s in DIAGONAL},
        steps=steps,
        seeds=seed,
        record=[steps],
        measure=("train_error", "test_error", nonzero_coordinates(1e-2)),
        threads=1,
    )
    return run.isel(seed=0, step=-1, drop=True).assign_coords(schedule=list(DIAGONAL))
