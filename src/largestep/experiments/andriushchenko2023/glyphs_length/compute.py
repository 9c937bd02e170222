"""What `glyphs-length` computes: some of the runs of `glyphs`."""

from largestep.experiments.andriushchenko2023.glyphs.compute import NETWORKS
from largestep.experiments.budget import Budget
from largestep.experiments.deep_networks import LARGE, LATE, SMALL
from largestep.experiments.trainings import run_all, survived
from largestep.store import Results

__all__ = ["RUN", "compute"]

RUN = "batch-norm/plain"
SCHEDULES = (SMALL, LATE, LARGE[0], LARGE[2])


def compute(budget: Budget) -> Results:
    """Return the training runs."""
    from largestep.deep import data

    networks = NETWORKS["batch-norm"]
    every = networks.schedules("plain")
    glyphs = data.load(networks.datasets[0], budget.data)
    chosen = {name: every[name] for name in SCHEDULES}
    return Results.from_dict({RUN: run_all("glyphs-length", budget, chosen, glyphs, survived)})
