"""`updates-not-epochs`: what full batches lack is updates, not noise."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="updates-not-epochs",
    title="Updates, not epochs",
    shows="As many updates close the gap in error between GD and SGD, not that in sparsity.",
    setting="""
A network of 64 inputs, 100 ReLUs and 10 outputs, cross-entropy, on 320 of scikit-learn's digits,
the other 1477 for tests; each seed draws images, network and order. SGD of batch size 32 takes 400
steps, 40 epochs; GD takes 40 steps, as many epochs, or 400, as many updates. The step size is 0.5,
and a tenth of it from half of training on. GD regularised goes along the gradient at θ + ∇L(θ),
that is g + (γ/ε)(g(θ + εg) − g) with γ = ε = 1. Beside them SGD takes 40 steps, and both take 400
from a step size of 1.

Feature sparsity is that of the hidden layer on the training images, at a correlation of 0.95. The
settings are the pilot's; the runs at 1 and SGD's 40 steps were added, and all bounds chosen, on
seeds 100 to 105.
""",
    seconds=40,
    order=1,
    by_name=True,
    needs_torch=True,
)
