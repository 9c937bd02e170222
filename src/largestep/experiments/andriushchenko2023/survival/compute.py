"""What `survival` computes: when runs diverge, and nothing else of them."""

from collections.abc import Iterator
from dataclasses import replace

import xarray as xr

from largestep.dynamics import SGD, Dynamics, HoldLoss, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting as diagonal
from largestep.experiments.andriushchenko2023.regression_1d.setting import setting as regression_1d
from largestep.experiments.andriushchenko2023.surface import compute as surface
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    setting as teacher_student,
)
from largestep.experiments.andriushchenko2023.three_layer.setting import setting as three_layer
from largestep.experiments.budget import Budget
from largestep.experiments.setting import Setting
from largestep.networks import DiagonalLinear
from largestep.problems import sparse_regression
from largestep.schedules import Schedule, decay
from largestep.store import Results

PAPER, LARGER, CAPPED = "paper's schedule", "a quarter larger", "capped"
HELD, UNCAPPED = "HoldLoss", "HoldLoss without its cap"
GD_DATA, SURVIVING, OFTEN_LOST = "diagonal-gd", "0.26", "0.272"

LARGER_BY = 1.25
_NO_CAP = 1e300


def settings() -> dict[str, Setting]:
    """Return the four problems that are run in every way."""
    return {
        "diagonal": diagonal(),
        "regression-1d": regression_1d(),
        "teacher-student": teacher_student(),
        "three-layer": three_layer(),
    }


def compute(budget: Budget) -> Results:
    """Return when every run diverged, as far as the phase that counts."""
    results: dict[str, xr.Dataset] = {}
    for problem, way, setting, dynamics, schedule in _runs():
        runs = simulate(
            setting.network,
            setting.problem,
            dynamics,
            schedule,
            steps=budget.steps(setting.steps),
            seeds=budget.seeds,
            measure=("train_loss",),
            record=[budget.steps(setting.steps)],
            threads=budget.threads,
            executor=budget.executor,
            progress=budget.described(f"survival, {problem}, {way}"),
        )
        results[f"{problem}/{way}"] = runs.isel(schedule=0, drop=True).isel(step=-1)
    return Results.from_dict(results)


def _runs() -> Iterator[tuple[str, str, Setting, Dynamics, Schedule | None]]:
    for problem, setting in settings().items():
        yield problem, PAPER, setting, SGD(), setting.schedule
        yield problem, LARGER, setting, SGD(), LARGER_BY * setting.schedule
        yield problem, CAPPED, setting, SGD(cap=setting.cap), setting.schedule
        yield problem, HELD, setting, HoldLoss(), None
        yield problem, UNCAPPED, setting, HoldLoss(cap=_NO_CAP), None
    valley = replace(diagonal(), network=surface.NETWORK, problem=surface.problem(), steps=10_001)
    (schedule,) = surface.DYNAMICS["SGD"][1].values()
    yield "surface", PAPER, valley, SGD(), schedule
    yield "surface", LARGER, valley, SGD(), LARGER_BY * schedule
    short = replace(
        diagonal(),
        network=DiagonalLinear(d=100, u0=0.1, v0=0.0),
        problem=sparse_regression(n=40, d=100, nonzeros=20, seed=0),
    )
    for label in (SURVIVING, OFTEN_LOST):
        yield GD_DATA, label, short, SGD(), decay(float(label), factor=20, at=0.5)
    yield GD_DATA, LARGER, short, SGD(), LARGER_BY * decay(float(SURVIVING), factor=20, at=0.5)
