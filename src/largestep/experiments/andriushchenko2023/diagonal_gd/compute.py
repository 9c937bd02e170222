"""What `diagonal-gd` computes."""

import numpy as np

from largestep import networks, problems
from largestep.dynamics import GD, SGD, simulate
from largestep.experiments.andriushchenko2023.diagonal.compute import MEASURES
from largestep.experiments.budget import Budget
from largestep.schedules import constant, decay
from largestep.store import Results

SMALL = "2.0"
LARGE = ("3.53, /4.8 at 10%", "3.53, /3.4 at 30%", "3.53, /1.5 at 50%")
SGD_SMALL = "0.2"
SGD_SURVIVING = "0.26, /20 at 50%"
SGD_PAPER = "0.272, /20 at 50%"
PERTURBATION = 1e-6


def compute(budget: Budget) -> Results:
    """Return the trajectories of GD and, on the same data, of SGD."""
    network = networks.DiagonalLinear(d=100, u0=0.1, v0=0.0)
    problem = problems.sparse_regression(n=40, d=100, nonzeros=20, seed=0)
    steps = budget.steps(100_001)
    runs = {}
    for name, dynamics, schedules in (
        (
            "gd",
            GD(),
            {
                SMALL: constant(2.0),
                LARGE[0]: decay(3.53, factor=4.8, at=0.1),
                LARGE[1]: decay(3.53, factor=3.4, at=0.3),
                LARGE[2]: decay(3.53, factor=1.5, at=0.5),
            },
        ),
        (
            "sgd",
            SGD(batch_size=1),
            {
                SGD_SMALL: constant(0.2),
                SGD_SURVIVING: decay(0.26, factor=20, at=0.5),
                SGD_PAPER: decay(0.272, factor=20, at=0.5),
            },
        ),
    ):
        runs[name] = simulate(
            network,
            problem,
            dynamics,
            schedules,
            steps=steps,
            seeds=budget.seeds,
            initial=np.stack([_perturbed(network, seed) for seed in budget.seeds]),
            measure=MEASURES,
            threads=budget.threads,
            executor=budget.executor,
            progress=budget.described(f"diagonal-gd, {name}"),
        )
    return Results.from_dict(runs)


def _perturbed(network: networks.DiagonalLinear, seed: int) -> np.ndarray:
    """Return the start, moved so little that only chaos can make the seeds differ."""
    rng = np.random.default_rng(seed)
    start = network.initialize(rng)
    return start * (1.0 + PERTURBATION * rng.standard_normal(start.shape))
