"""`one-dimension`: converge, stabilise or diverge, on one parameter, against the theory."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="one-dimension",
    title="One dimension",
    shows="On one parameter the step sizes that converge, stabilise and diverge are known exactly.",
    setting="""
The network h(x) = xθ² with y = xθ⋆², θ⋆ = 1. With w = θ²/θ⋆² and a = 2ηx²θ⋆² an SGD step is
w ← w(1 − a(w − 1))². The axis is a for the larger x². For each law of x and each of 50 step sizes
there are two starts for each seed, uniform on (0.05, 1.4); 20 000 steps. A start has converged
when |w − 1| < 1e-6 over the last tenth of the steps, diverged when a residual exceeded 1e6, and
stabilised otherwise. The strip below each panel is the theory's word: for a ≤ 2 all is bounded, and
E log|1 − 2a| decides between convergence and stabilisation.

Claims count starts, two for each seed.
""",
    seconds=10,
    order=8,
)
