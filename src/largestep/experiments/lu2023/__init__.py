"""Benign oscillation of stochastic gradient descent with large learning rates."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "M. Lu, B. Wu, X. Yang and D. Zou, Benign oscillation of stochastic gradient descent with "
    "large learning rates, ICLR 2024 (2023 as a preprint)",
    order=11,
)
