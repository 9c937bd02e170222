"""The networks of `digits`, under the paper's schedules."""

from largestep.experiments.budget import Budget
from largestep.experiments.deep_networks import DeepNetworks
from largestep.store import Results

__all__ = ["NETWORKS", "compute"]

NETWORKS = DeepNetworks("digits", ("digits",), ("plain",), evaluations=20)


def compute(budget: Budget) -> Results:
    """Return the training runs, on each data set and in each setting."""
    return NETWORKS.compute(budget)
