"""Outliers with opposing signals."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "E. Rosenfeld and A. Risteski, Outliers with opposing signals have an outsized effect on "
    "neural network optimization, ICLR 2024",
    order=16,
)
