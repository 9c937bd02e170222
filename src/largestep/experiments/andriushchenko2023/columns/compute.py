"""What `columns` computes: dead and dependent columns of the Jacobian at the end of training."""

from functools import partial

import numpy as np
import xarray as xr

from largestep.dynamics import SGD, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting as diagonal
from largestep.experiments.andriushchenko2023.regression_1d.setting import setting as regression_1d
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    setting as teacher_student,
)
from largestep.experiments.andriushchenko2023.three_layer.setting import setting as three_layer
from largestep.experiments.budget import Budget
from largestep.measures import Measure
from largestep.metrics.rank import singular_values
from largestep.networks import Network
from largestep.problems import Problem
from largestep.store import Results

TOLERANCE = 1e-4
SMALL, LARGE = "small step", "large step"


def compute(budget: Budget) -> Results:
    """Return for every problem the columns under the small and under the large step."""
    results: dict[str, xr.Dataset] = {}
    for name, setting in {
        "diagonal": diagonal(),
        "teacher-student": teacher_student(),
        "three-layer": three_layer(),
        "regression-1d": regression_1d(),
    }.items():
        small, *_ = setting.schedules.values()
        columns = setting.network.parameters // (2 if name == "diagonal" else 1)
        steps = budget.steps(setting.steps)
        results[name] = simulate(
            setting.network,
            setting.problem,
            SGD(cap=setting.cap),
            {SMALL: small, LARGE: setting.schedule},
            steps=steps,
            seeds=budget.seeds,
            record=[0, steps],
            measure=[
                Measure(
                    "columns",
                    partial(dead_dependent_rank, columns),
                    "columns of the Jacobian",
                    ("kind",),
                    coords={"kind": np.array(["dead", "dependent", "rank"])},
                )
            ],
            threads=budget.threads,
            executor=budget.executor,
            progress=budget.described(f"columns, {name}"),
        )
    return Results.from_dict(results)


def dead_dependent_rank(
    columns: int, network: Network, problem: Problem, thetas: np.ndarray
) -> np.ndarray:
    """Return how many of the columns are dead and dependent, and the rank; they sum to all.

    Parameters
    ----------
    columns : how many there are; those that the network's core has left out are dead.
    """
    found = np.empty((len(thetas), 3))
    inputs = problem.test_inputs[: network.parameters]
    for row, theta in zip(found, thetas, strict=True):
        core = network.jacobian_core(theta, inputs)
        values = singular_values(core)
        least = TOLERANCE * values[0]
        alive = int(np.sum(np.linalg.norm(core, axis=0) > least))
        rank = int(np.sum(values > least))
        row[:] = columns - alive, alive - rank, rank
    return found
