"""SGD on the ReLU network that fits twelve points."""

from dataclasses import replace

from largestep.dynamics import SGD, simulate
from largestep.experiments.andriushchenko2023.regression_1d.setting import setting
from largestep.experiments.budget import Budget
from largestep.measures import jacobian_rank, kinks, predictions
from largestep.store import Results

__all__ = ["compute"]


def compute(budget: Budget) -> Results:
    """Return the trajectories."""
    chosen = setting()
    runs = simulate(
        chosen.network,
        chosen.problem,
        SGD(batch_size=1),
        chosen.schedules,
        steps=budget.steps(chosen.steps),
        seeds=budget.seeds,
        measure=(
            "train_loss",
            jacobian_rank(1e-4, every=20),
            replace(chosen.sparsity, every=3),
            kinks(every=3),
            predictions(every=20),
        ),
        threads=budget.threads,
        executor=budget.executor,
        progress=budget.described("regression-1d"),
    )
    return Results.from_dict({"sgd": runs})
