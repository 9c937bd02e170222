"""What `rivals` computes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from largestep import measures
from largestep.dynamics import (
    GD,
    SAM,
    SGD,
    Dynamics,
    JacobianPenalizedGD,
    LabelNoise,
    simulate,
)
from largestep.experiments.andriushchenko2023.diagonal.setting import setting as diagonal
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    setting as teacher_student,
)
from largestep.experiments.budget import Budget
from largestep.experiments.setting import Setting
from largestep.schedules import Schedule, constant, decay, piecewise
from largestep.store import Results

SMALL, LARGE = "SGD, small steps", "SGD, large steps"


@dataclass(frozen=True)
class Contest:
    """One problem: its budget of per-example gradients, and every rival's grid.

    Attributes
    ----------
    grids : {rival: (dynamics, step sizes to try)}; dynamics and step sizes are combined.
    """

    setting: Setting
    gradients: int
    grids: Mapping[str, tuple[Sequence[Dynamics], Sequence[float]]]


def contests() -> dict[str, Contest]:
    """Return the problems by name."""
    coordinates, students = diagonal(), teacher_student()
    return {
        "diagonal": Contest(
            coordinates,
            240_000,
            _grids(
                cap=coordinates.cap,
                small=(0.1, 0.2),
                large=(0.26, 0.282, 0.3),
                full=(1.0, 2.0, 2.5, 3.0),
                noise=(0.1, 0.3, 1.0, 3.0),
                rho=(0.01, 0.03, 0.1),
                penalty=(1e-4, 1e-3, 1e-2, 1e-1),
            ),
        ),
        "teacher-student": Contest(
            students,
            60_000,
            _grids(
                cap=students.cap,
                small=(0.05, 0.13),
                large=(0.3, 0.455, 0.5),
                full=(0.3, 0.6, 1.0, 1.5),
                noise=(0.03, 0.1, 0.3, 1.0),
                rho=(0.01, 0.03, 0.1),
                penalty=(1e-3, 1e-2, 1e-1),
            ),
        ),
    }


def _grids(
    *,
    cap: float,
    small: Sequence[float],
    large: Sequence[float],
    full: Sequence[float],
    noise: Sequence[float],
    rho: Sequence[float],
    penalty: Sequence[float],
) -> dict[str, tuple[Sequence[Dynamics], Sequence[float]]]:
    def label_noise(of: SGD | GD) -> list[Dynamics]:
        return [LabelNoise(piecewise({0.0: sigma, 0.5: 0.0}), of=of) for sigma in noise]

    capped = SGD(cap=cap)
    return {
        SMALL: ([SGD()], small),
        LARGE: ([capped], large),
        "SGD with momentum 0.9": ([SGD(cap=cap, momentum=0.9)], [0.1 * eta for eta in large]),
        "label noise, SGD": (label_noise(capped), small),
        "1-SAM, SGD": ([SAM(r, of=capped) for r in rho], small),
        "GD": ([GD()], full),
        "GD with momentum 0.9": ([GD(momentum=0.9)], [0.1 * eta for eta in full]),
        "label noise, GD": (label_noise(GD()), full[:2]),
        "n-SAM, GD": ([SAM(r, of=GD(), per_example=False) for r in rho], full[:2]),
        "1-SAM, GD": ([SAM(r, of=GD()) for r in rho], full[:2]),
        "Jacobian penalty, GD": ([JacobianPenalizedGD(s) for s in penalty], full[:2]),
    }


def schedule(rival: str, step_size: float) -> Schedule:
    """Return the step size, divided by 4 after half of the steps unless it is small throughout."""
    return constant(step_size) if rival == SMALL else decay(step_size, factor=4, at=0.5)


def gradients_per_step(dynamics: Dynamics, n: int) -> int:
    """Return how many per-example gradients a step costs: SAM takes two each, the penalty three."""
    factor = {SAM: 2, JacobianPenalizedGD: 3}.get(type(dynamics), 1)
    return factor * dynamics.batch(n)


def compute(budget: Budget) -> Results:
    """Return, for each problem, how every setting of every rival ends."""
    results = {}
    for name, contest in contests().items():
        setting = contest.setting
        tried = []
        for rival, (ways, step_sizes) in contest.grids.items():
            for dynamics in ways:
                cost = gradients_per_step(dynamics, setting.problem.n)
                steps = budget.steps(contest.gradients) // cost
                runs = simulate(
                    setting.network,
                    setting.problem,
                    dynamics,
                    {f"{rival}: {dynamics!r}, η = {s:g}": schedule(rival, s) for s in step_sizes},
                    steps=steps,
                    seeds=budget.seeds,
                    measure=(
                        "train_loss",
                        "test_loss",
                        setting.sparsity,
                        measures.jacobian_rank(1e-4),
                    ),
                    record=[steps],
                    threads=budget.threads,
                    executor=budget.executor,
                )
                ends = runs.isel(step=0, drop=True).rename(
                    {setting.sparsity.name: "sparsity", "schedule": "setting"}
                )
                tried.append(ends.assign_coords(rival=("setting", [rival] * len(step_sizes))))
        results[name] = xr.concat(tried, "setting", combine_attrs="drop_conflicts")
    return Results.from_dict(results)
