"""`surface`: a slice of the loss surface, and the paths of gradient flow, GD and SGD on it."""

from largestep.experiments.experiment import Experiment

EXPERIMENT = Experiment(
    __name__,
    name="surface",
    title="The loss surface",
    shows="Gradient flow falls into the nearest valley; SGD bounces along it towards the truth.",
    setting="""
Sparse regression with n = 20, d = 30 and three non-zero coordinates; 10 001 steps. Gradient flow
(GD with η = 0.03), GD (3.0, divided by 3 at 50 %), SGD (0.6, divided by 3 at 50 %; the figure shows
the first seed, the claims use all). The plane passes through the start, its first direction leads
to w⋆ = (√θ⋆, √θ⋆), the second is the part of the way to gradient flow's end that is orthogonal to
it, both of unit length.

The loss depends on u ⊙ v alone, so paths and ends are folded by the symmetry (u, v) → (−u, −v) of
each coordinate before they are projected. A projected path lies above or below the surface that
is drawn: the contours are the plane's, not the path's.
""",
    seconds=15,
    order=7,
)
