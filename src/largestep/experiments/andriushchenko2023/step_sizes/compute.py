"""What `step-sizes` computes: a sweep of constant step sizes, followed by the same small one."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from largestep.dynamics import SGD, Dynamics, HoldLoss, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting as diagonal
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    setting as teacher_student,
)
from largestep.experiments.budget import Budget
from largestep.experiments.setting import Setting
from largestep.schedules import constant, decay
from largestep.store import Results

SWEEP, LENGTHS, HELD, HELD_LOW = "sweep", "lengths", "HoldLoss", "HoldLoss, target 1e-4"
PHASES = {"10%": 0.1, "30%": 0.3, "50%": 0.5}
HELDS: dict[str, Dynamics] = {HELD: HoldLoss(), HELD_LOW: HoldLoss(target=1e-4)}


@dataclass(frozen=True)
class Sweep:
    """One problem, the step sizes tried on it, the small one that follows, and the paper's large.

    The large one is followed by the small one after phases of three lengths, too.
    """

    setting: Setting
    steps: int
    step_sizes: tuple[float, ...]
    afterwards: float
    large: float


def sweeps() -> dict[str, Sweep]:
    """Return the problems by name."""
    return {
        "diagonal": Sweep(
            diagonal(),
            50_001,
            (
                *(0.02, 0.05, 0.1, 0.15, 0.2, 0.22, 0.24, 0.25),
                *(0.26, 0.27, 0.28, 0.3, 0.33, 0.37, 0.42, 0.5),
            ),
            afterwards=0.1,
            large=0.282,
        ),
        "teacher-student": Sweep(
            teacher_student(),
            14_126,
            (
                *(0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35),
                *(0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 1.0),
            ),
            afterwards=0.09,
            large=0.455,
        ),
    }


def compute(budget: Budget) -> Results:
    """Return for every problem how the sweep and HoldLoss end, and their late phase."""
    results: dict[str, xr.Dataset] = {}
    for name, sweep in sweeps().items():
        steps = budget.steps(sweep.steps)
        run = partial(
            simulate,
            sweep.setting.network,
            sweep.setting.problem,
            steps=steps,
            seeds=budget.seeds,
            measure=("train_loss", "test_loss", sweep.setting.sparsity),
            record=np.unique(np.r_[np.linspace(0.25, 0.4999, 40) * steps // 1, steps]).astype(int),
            threads=budget.threads,
            executor=budget.executor,
        )
        dynamics = SGD(cap=sweep.setting.cap)
        tried = run(
            dynamics,
            {
                f"{s:g}": decay(s, factor=s / sweep.afterwards, at=0.5)
                if s > sweep.afterwards
                else constant(s)
                for s in sweep.step_sizes
            },
            progress=budget.described(f"step-sizes, {name}"),
        ).assign_coords(eta=("schedule", list(sweep.step_sizes)))
        results[f"{name}/{SWEEP}"] = tried.assign_attrs(zero_loss=sweep.setting.problem.zero_loss)
        results[f"{name}/{LENGTHS}"] = run(
            dynamics,
            {
                length: decay(sweep.large, factor=sweep.large / sweep.afterwards, at=at)
                for length, at in PHASES.items()
            },
            progress=budget.described(f"step-sizes, {name}, lengths"),
        )
        for way, held in HELDS.items():
            results[f"{name}/{way}"] = run(
                held, progress=budget.described(f"step-sizes, {name}, {way}")
            ).isel(schedule=0, drop=True)
    return Results.from_dict(results)
