"""`xor-clusters`: fitting at once, generalising later, at any small step size."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="xor-clusters",
    title="Is grokking on XOR clusters about the step size?",
    shows="A network fits wrong labels at once and generalises twenty steps later, small or not.",
    setting="""
n = 200 points in 2000 dimensions, from four clusters in the pattern of XOR with centres of norm 12,
a tenth of the labels wrong, and 200 test points with true labels. A two-layer ReLU network of 256
units without biases, input weights 1e-5·N(0, 1), output weights N(0, 1/256), both trained; the
logistic loss, full batches, 20 steps at η = 0.001, 0.01, 0.1, and at 10. It is trained in
coordinates of the 400 dimensions that the points span, where it is the same network. The paper
fixes the output weights at ±1/√m.

The control is a linear predictor from zero: it fits too, and cannot generalise here. A seed draws
data and start. The bounds were chosen on seeds 0 and 1 of a network of 32 units, on which the
claims were then undecided.
""",
    seconds=25,
    order=1,
    by_name=True,
)
