"""What `one-dimension` computes."""

import numpy as np

from largestep import networks
from largestep.dynamics import SGD, simulate
from largestep.experiments.budget import Budget
from largestep.problems import Problem
from largestep.store import Results

CONSTANT = "x constant"
LAWS = {CONSTANT: (1.0, 1.0), "x² ∝ 0.2 or 1.9": (0.2, 1.9), "x² ∝ 0.6 or 2": (0.6, 2.0)}
"""For each law of x the two equally likely values of x², up to scale; θ⋆ = 1."""

SHARPNESS = np.round(np.arange(0.05, 2.51, 0.05), 10)
"""The map's axis: a_max = 2η·max(x²)·θ⋆²."""

STARTS_PER_SEED = 2


def compute(budget: Budget) -> Results:
    """Return, for every law, trajectories over the axis, each from a random start."""
    steps = budget.steps(20_000)
    last = np.linspace(0.9 * steps, steps, 50).round().astype(int)
    runs = {}
    for number, (law, squares) in enumerate(LAWS.items()):
        # Starts are seeds here; the laws share none.
        seeds = [
            STARTS_PER_SEED * seed + start
            for seed in budget.seeds
            for start in range(STARTS_PER_SEED)
        ]
        x = np.sqrt(np.array(squares) / max(squares))[:, np.newaxis]
        starts = np.array(
            [np.random.default_rng([number, seed]).uniform(0.05, 1.4) for seed in seeds]
        )
        runs[law] = simulate(
            networks.ScalarQuadratic(),
            Problem(x, x[:, 0], truth=np.ones(1), description=f"y = x, {law}"),
            SGD(batch_size=1),
            {f"{a:g}": a / 2 for a in SHARPNESS},
            steps=steps,
            seeds=seeds,
            initial=starts[:, np.newaxis],
            record=np.unique(np.r_[0, last]),
            measure=("parameters",),
            threads=budget.threads,
            executor=budget.executor,
            progress=budget.described(f"one-dimension, {law}"),
        ).assign_coords(a=("schedule", SHARPNESS))
    return Results.from_dict(runs)
