"""`compaction-glyphs`: what can be taken out of a network for a tenth of a point of test error."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="compaction-glyphs",
    title="How small a network gets for a tenth of a point",
    shows="What large steps leave over on letters, against pruning, at the same small cost.",
    setting="""
The residual network with batch norm of `glyphs`, plain, under its schedules, and with large steps
that are half and a quarter as long. For every network two smaller ones: the one of fewest
parameters that compaction gives, exactly or at a correlation threshold of 0.8 and four tolerances,
whose error on 4000 held-out letters is at most 0.1 points higher; and the one that magnitude
pruning gives, by torch-pruning's group norms over the whole network, at the largest ratio that
costs no more there, found by bisection. Neither is fine-tuned. 1000 training images calibrate.
Errors that are shown come from 4000 other letters.
""",
    seconds=700,
    order=4,
    seeds=5,
    needs_torch=True,
    by_name=True,
)
