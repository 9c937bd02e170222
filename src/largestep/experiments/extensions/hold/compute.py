"""What `hold` computes."""

from dataclasses import replace

from largestep import measures
from largestep.dynamics import SGD, HoldLoss, simulate
from largestep.experiments.andriushchenko2023.survival.compute import settings
from largestep.experiments.budget import Budget
from largestep.store import Results

PAPER, CAPPED, HELD = "paper's schedule", "paper's schedule, capped", "HoldLoss"


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
