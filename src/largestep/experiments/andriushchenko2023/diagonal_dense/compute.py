"""The trajectories of `diagonal` on a dense truth."""

from dataclasses import replace

from largestep.experiments.andriushchenko2023.diagonal import compute as diagonal
from largestep.experiments.andriushchenko2023.diagonal.setting import setting
from largestep.experiments.budget import Budget
from largestep.schedules import constant, decay
from largestep.store import Results

__all__ = ["LARGE", "SMALL", "compute"]

SMALL = "0.14"
LARGE = ("0.17, /4.8 at 10%", "0.17, /3.4 at 30%", "0.17, /1.5 at 50%")
SCHEDULES = {
    SMALL: constant(0.14),
    LARGE[0]: decay(0.17, factor=4.8, at=0.1),
    LARGE[1]: decay(0.17, factor=3.4, at=0.3),
    LARGE[2]: decay(0.17, factor=1.5, at=0.5),
}


def compute(budget: Budget) -> Results:
    """Return the trajectories."""
    dense = replace(setting(dense=True), schedules=SCHEDULES, longest=LARGE[2])
    return Results.from_dict({"sgd": diagonal.train(budget, dense, description="diagonal-dense")})
