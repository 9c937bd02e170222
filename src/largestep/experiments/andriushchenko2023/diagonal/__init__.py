"""`diagonal`: the paper's central figure, on diagonal linear networks."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="diagonal",
    title="Diagonal linear networks",
    shows="Large steps hold the loss on a plateau, where the network grows sparse and generalises.",
    setting="""
Sparse regression with n = 80 points in d = 200 dimensions, X ~ N(0, I), 1000 test points; the
truth is |N(0, I)| on 20 coordinates, scaled to norm 1. The network is h(x) = ⟨u ⊙ v, x⟩ from
u = 0.1, v = 0. SGD with batch size 1 for 100 001 steps; every seed is another order of the
examples on the same data (the paper shows one).

The rank is that of the Jacobian at 400 test inputs. The paper's tolerance, 1e-15 of the largest
singular value, lies below rounding; 1e-4 is shown beside it, and the claims use it. A coordinate
is non-zero above 1e-6 of the largest. A run has diverged when a residual exceeds 1e6; curves and
claims are over the seeds still there, and panel e says how many they are.
""",
    seconds=10,
    order=1,
)
