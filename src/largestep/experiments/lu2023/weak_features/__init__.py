"""`weak-features`: what oscillation makes a network learn beside the strong feature."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="weak-features",
    title="Do large steps learn weak features?",
    shows="Steps beyond the edge of stability make the weak feature carry what the strong may not.",
    setting="""
n = 40 labels y = ±1 told by a strong feature, y, and a weak one, 0.2·y, beside 100 coordinates of
noise of standard deviation 0.05; in test the strong feature is missing. A diagonal linear network
from u = 0.1, v = 0; SGD (batch 1, cap 4) for 40 000 steps and GD for 2 000, at k times the edge,
divided by 10 at half. The edge is 2/λ_max where GD with small steps ends. Every seed has data,
order and edge of its own.

What must follow from stability alone: with s the strong feature's share of the prediction, λ_max is
2(s + 0.2(1 − s)) at a balanced minimum, and at most 2/η. So s ≤ (1/k − 0.2)/0.8. It is the
shrinkage of the theory page, seen where there is another feature to turn to.

In a further data set a fifth of the training points lack the strong feature; then no large step is
needed.

The paper's own network has two layers of ReLU² on patches: weak feature, strong feature and noise
are a patch each, of 102 coordinates. Five units of either sign, weights 0.1·N(0, 1), output layer
fixed; SGD (cap 4) for 20 000 steps and GD for 2 000, in multiples of each one's own edge where GD
with steps of 0.5 ends: 2/λ_max for GD, the exact threshold of its linear stability for SGD, about
half of it, as examples of different labels share no units. Its setting and bound were chosen on
seeds 100 to 102. A ReLU network on the flattened input does not show the effect.
""",
    seconds=15,
    order=1,
    by_name=True,
)
