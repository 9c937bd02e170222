"""`hold`: a step size that holds the loss, against the paper's hand-tuned schedules."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="hold",
    title="A step size that needs no tuning",
    shows="Holding the loss needs no step size; it fails where the start is lazy (regression-1d).",
    setting="""
HoldLoss sets the step size to κ over a running mean of the examples' sharpness 2c‖∇h(x)‖² and
raises κ while a running mean of the loss is below its target, 2 % of the zero predictor's loss, and
lowers it, never below 1, while it is above. An example's step is capped at 3 over its sharpness;
after half of the steps the step size falls to half of its geometric mean over the second half of
that phase. One setting for all four problems, no step size chosen by hand.

It is held against the paper's schedules with the longest large-step phase, as they are and with a
cap (4 for the diagonal network, 3 for the others), on the same seeds. The test loss of
regression-1d is against straight lines between the points, which are no truth; the claim is made
all the same. How many runs survive is told by `survival`.

The target is the smallest of 0.005, 0.01, 0.02, 0.05, 0.1 at which features were about as sparse as
under the hand-tuned schedules on three of the problems (12 seeds each); gains from 3e-4 to 3e-3 and
divisors from 2 to 4 gave the same picture, least κ of 0.1 and 0.5 left the ReLU networks with
biases in the flat start, 1.5 and 2 destroyed the diagonal network.
""",
    seconds=30,
    order=1,
)
