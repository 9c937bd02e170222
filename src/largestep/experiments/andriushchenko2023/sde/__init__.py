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
1.5 between 20–35 % and 35–49 % are marked. The claims are on every problem, marked or not: for a
seed the SDE's median over a stretch of training over SGD's on that seed. A distribution that is
not rejected is not thereby shown to be the same; with 50 seeds the test is sharper.

The textbook's SDEs have noise that follows the loss, each example's own or that of all, and are run
on data seeds 0 and 1 over the large-step phase, with dt = η (third figure).
""",
    seconds=60,
    order=9,
)
