"""`step-sizes`: only large steps make features sparse, and not the largest of them."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="step-sizes",
    title="Only large steps, and not too large ones",
    shows="Features grow sparse beyond a threshold of the step size; far beyond it learning fails.",
    setting="""
The problems of `diagonal` (50 001 steps) and of `teacher-student`, each example's step capped (4,
3), so that the largest step sizes fail without being lost. Sixteen step sizes each, constant for
half of the steps; after that the same small one for all, 0.1 and 0.09 (or the step size itself,
where it is smaller), so that what comes before makes the difference.

The threshold of convergence is the largest step size of the grid at which, and below which, the
median over seeds of the training loss from a quarter to a half of the steps lies below a thousandth
of the zero predictor's. The window is what lies from there to one and a half times as much.

For the length of the phase alone: the paper's large step size, 0.282 and 0.455, until 10, 30 and
50 % of the steps, and then the small one; the paper's schedules differ in what follows, too.

HoldLoss lands where its own step size lies: the geometric mean over the second half of its phase.
Its control is HoldLoss with a target of 1e-4 in place of 0.02. That only step sizes in a window
above the threshold give the least error and sparse features is the claim of Sadrtdinov, Kodryan,
Pokonechny, Lobacheva & Vetrov (Where do large learning rates lead us?, 2024) on deep networks.
""",
    seconds=15,
    order=17,
)
