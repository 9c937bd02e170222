"""`tuning-free`: methods that need no tuning, against the best of a grid."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="tuning-free",
    title="Without tuning: a bake-off",
    shows="Methods with one configuration for all problems, against the best of a grid for each.",
    setting="""
TODO.
""",
    seconds=3600,
    order=8,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
