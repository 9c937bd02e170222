"""`diagonal-dense`: does sparsity help when the truth is dense? The control to `diagonal`."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="diagonal-dense",
    title="Alignment: a dense truth",
    shows="Large steps still make the predictor sparser, but the truth is not, and nothing is won.",
    setting="""
As `diagonal`, but the truth is |N(0, I)| on all 200 coordinates, scaled to norm 1. Its ℓ1 norm is
three times that of the sparse one, and the loss as much sharper: every run diverges at 0.282. The
step sizes are the two of the grid 0.04, 0.06, 0.08, 0.10, 0.11, …, 0.15, 0.17, 0.20 that play the
parts of 0.25 and 0.282: 0.14 is among the largest that converge with all coordinates alive, 0.17
the largest on a plateau that every seed survives.
""",
    seconds=10,
    order=2,
)
