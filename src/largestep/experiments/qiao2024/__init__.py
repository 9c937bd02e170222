"""Stable minima of univariate ReLU networks."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "D. Qiao, K. Zhang, E. Singh, D. Soudry and Y.-X. Wang, Stable minima cannot overfit in "
    "univariate ReLU networks: generalization by large step sizes, NeurIPS 2024",
    order=17,
)
