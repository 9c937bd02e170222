"""The edge of stability of stochastic gradient descent."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "A. Andreyev and P. Beneventano, Edge of stochastic stability: revisiting the edge of "
    "stability for SGD, 2024",
    order=18,
)
