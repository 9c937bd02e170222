"""What `hold` computes."""

from dataclasses import replace

from largestep import measures
from largestep.dynamics import SGD, HoldLoss, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting as diagonal
from largestep.experiments.andriushchenko2023.regression_1d.setting import setting as regression_1d
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    setting as teacher_student,
)
from largestep.experiments.andriushchenko2023.three_layer.setting import setting as three_layer
from largestep.experiments.budget import Budget
from largestep.experiments.setting import Setting
from largestep.store import Results

PAPER, CAPPED, HELD = "paper's schedule", "paper's schedule, capped", "HoldLoss"


def settings() -> dict[str, Setting]:
    """Return the four problems by name."""
    return {
        "diagonal": diagonal(),
        "regression-1d": regression_1d(),
        "teacher-student": teacher_student(),
        "three-layer": three_layer(),
    }


def compute(budget: Budget) -> Results:
    """Return the trajectories of the three ways to train, on each of the four problems."""
    results = {}
    for name, setting in settings().items():
        for way, dynamics, schedule in (
            (PAPER, SGD(), setting.schedule),
            (CAPPED, SGD(cap=setting.cap), setting.schedule),
            (HELD, HoldLoss(), None),
        ):
            results[f"{name}/{way}"] = simulate(
                setting.network,
                setting.problem,
                dynamics,
                schedule,
                steps=budget.steps(setting.steps),
                seeds=budget.seeds,
                measure=(
                    "train_loss",
                    "test_loss",
                    setting.sparsity if name == "diagonal" else replace(setting.sparsity, every=3),
                    measures.jacobian_rank(1e-4, every=100),
                ),
                threads=budget.threads,
                executor=budget.executor,
                progress=budget.described(f"hold, {name}, {way}"),
            ).isel(schedule=0, drop=True)
    return Results.from_dict(results)
