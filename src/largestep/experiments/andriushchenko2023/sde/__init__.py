"""`sde`: does the constant-noise SDE behave as large-step SGD? A test, not a picture."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="sde",
    title="The SDE against SGD",
    shows="How far the constant-noise SDE agrees with SGD: partly in medians, not in law.",
    setting="""
SGD with the paper's schedule of the longest large-step phase, each example's step capped (4 for the
diagonal network, 3 for the others) so that no survivor bias enters, against the constant-noise SDE
with the same step size, dt = η, and the noise switched off at the decay. δ = 4c·(mean training loss
of SGD from 20 % to 49 % of the steps)/n; it is measured, not predicted. Diagonal networks on data
seeds 0, 1, 5 and 7 take 30 001 steps instead of 100 001: the plateau is reached long before.

For every problem, measure and time the table gives the ratio of the medians SDE over SGD; a dot
marks where the energy test rejects that the two samples have one distribution (5 %, permutation
p-values, Holm's correction over all comparisons). Problems whose typical loss drifts by a factor
1.5 between 20–35 % and 35–49 % are shown and not counted. Values of the claims are comparisons, not
seeds. With 50 seeds the test is sharper: largestep reproduce sde --seeds 50.

The gate was tightened after its first results were seen: at a factor 2 of the mean loss all six
problems counted, and at 20 seeds equal distributions and spread did not hold instead of being
undecided. A claim over all problems can hide one: on regression-1d the SDE's rank on the plateau is
twice SGD's. A distribution that is not rejected is not thereby shown to be the same.
""",
    seconds=60,
    order=9,
)
