"""SGD on three layers, as in the paper and with a cap on each example's step."""

from dataclasses import replace

from largestep.experiments.andriushchenko2023.three_layer.setting import setting
from largestep.experiments.budget import Budget
from largestep.experiments.setting import capped_and_not
from largestep.measures import feature_sparsity, jacobian_rank
from largestep.store import Results

__all__ = ["compute"]


def compute(budget: Budget) -> Results:
    """Return the trajectories of both."""
    chosen = setting()
    return capped_and_not(
        budget,
        "three-layer",
        chosen,
        measure=(
            "train_loss",
            "test_loss",
            jacobian_rank(1e-4, every=15),
            feature_sparsity(0.99, layer=0, every=3),
            replace(chosen.sparsity, every=3),
        ),
    )
