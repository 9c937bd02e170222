"""`three-layer`: the same with two hidden layers and biases."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="three-layer",
    title="Three layers",
    shows="Both hidden layers of a deeper network grow sparse while the loss stays on its plateau.",
    setting="""
Fifty Gaussian points in five dimensions, a teacher of two hidden layers of two neurons (weights
N(0, 1), PyTorch's default biases), a student of two hidden layers of ten (weights 0.8·N(0, 1)).
SGD with batch size 1, 10 001 steps; the large steps warm up as 0.04·(1 + 5√t), t the fraction of
the whole run. Seeds draw the student and the order of the examples; the data are largestep's own,
the settings the paper's.

First row: SGD as in the paper. Second row, which the claims use: each example's step size capped
at 3 / (2‖∇h(x)‖²), so that no seed is lost to divergence. The rank is that of the Jacobian at 181
test inputs (tolerance 1e-4), the feature sparsity coefficients are taken at the training points
(correlation threshold 0.99).
""",
    seconds=20,
    order=6,
)
