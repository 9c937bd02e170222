"""The networks of `glyphs`, under the paper's schedules."""

from largestep.experiments.budget import Budget
from largestep.experiments.deep_networks import DeepNetworks, compute_all
from largestep.store import Results

__all__ = ["NETWORKS", "compute"]

DARK = "glyphs:distortion=0.3,distractors=0,noise=0.1,lighter_ink=0.0"
NETWORKS = {
    name: DeepNetworks(
        preset,
        (dataset,),
        evaluations=20,
        late=True,
        changes={"examples": 500, "max_units": 300},
    )
    for name, preset, dataset in (
        ("batch-norm", "glyphs", "glyphs"),
        ("no-norm", "glyphs-no-norm", DARK),
        ("densenet", "glyphs-densenet", "glyphs"),
    )
}


def compute(budget: Budget) -> Results:
    """Return the training runs of every network, in each setting."""
    return compute_all(NETWORKS, budget)
