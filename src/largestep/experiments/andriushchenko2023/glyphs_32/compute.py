"""The networks of `glyphs-32`, under the paper's schedules."""

from largestep.experiments.budget import Budget
from largestep.experiments.deep_networks import DeepNetworks, compute_all
from largestep.store import Results

__all__ = ["NETWORKS", "compute"]

DATA = "glyphs:images=50000,test_images=10000,classes=60,size=32,channels=3"
NETWORKS = {name: DeepNetworks(f"{name}-glyphs", (DATA,)) for name in ("resnet18", "densenet100")}


def compute(budget: Budget) -> Results:
    """Return the training runs of both networks, in each setting."""
    return compute_all(NETWORKS, budget)
