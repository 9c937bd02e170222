"""`regression-1d`: a ReLU network fits twelve points on a line."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="regression-1d",
    title="Fitting points on a line",
    shows="After a long large-step phase a wide ReLU network fits the points by few kinks.",
    setting="""
Twelve points, a two-layer ReLU network with 100 neurons and biases in the first layer: weights
±2.5, biases 2.5·N(0, 1), output weights 4·N(0, 1). SGD with batch size 1, 31 623 steps. Seeds draw
the initialisation and the order of the examples.

The step size warms up as η = 0.0002·(1 + (F − 1)·t), t the fraction of the whole run, until t = s,
and is then divided: s = 2 %, by 2.5; s = 50 %, by 3; F = 400 s. These are the paper's schedules:
the two differ 73-fold in their late step size, so they compare more than the length of a phase.
The third line is the paper's over-regularised case, F = 500 s.

The rank is that of the Jacobian at 300 uniform inputs (tolerance 1e-4); the feature sparsity
coefficient is taken at the twelve points (correlation threshold 0.999). Kinks are counted between
the first and the last point: neighbours within 2 % of that range are one, and a jump of the slope
below 1 % of the largest is none. (The local complexity of Humayun et al., 2024, on a line.)
""",
    seconds=20,
    order=4,
)
