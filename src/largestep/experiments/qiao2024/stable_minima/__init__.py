"""`stable-minima`: how much a function may bend where gradient descent stays at it."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="stable-minima",
    title="Can a stable minimum overfit?",
    shows="Where GD with large steps stays, the slope can vary little: noise cannot be fitted.",
    setting="""
Twenty points on [-1, 1], one in each twentieth, targets 2|x| − 1 with noise of standard deviation
0.5, and a two-layer ReLU network of 60 units with biases in both layers. It starts where it fits
the noise: bends spread over the interval, the output weights of least norm that fit all points,
each unit's two layers balanced, and 0.001·N(0, 1) on every parameter. So nothing but instability
can take it away from there. GD, 20 001 steps; the step size goes from 0.002 to η geometrically in
the first half and stays there. SGD of batch size 1 does the same at η = 0.1. The loss is r²/2; a
seed draws data, bends and order.

The variation of the slope f' is weighted by the data, ∫ |f''| g, and bounded by 1/η − 1/2 +
mean(|r_i| √(1 + x_i²))/2 wherever λ_max is at most 2/η (the theory page proves it). The papers'
bound is the same at a fit; what is added for residuals is ours. Largest eigenvalues are those of
the Gauss–Newton matrix.

The test error is the mean square distance to the noiseless function on [-0.95, 0.95]. Setting and
bounds were chosen on seeds 0 to 4.
""",
    seconds=25,
    order=1,
    by_name=True,
)
