"""Benign overfitting and grokking on XOR clusters."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "Z. Xu, Y. Wang, S. Frei, G. Vardi and W. Hu, Benign overfitting and grokking in ReLU networks "
    "for XOR cluster data, ICLR 2024 (2023 as a preprint)",
    order=19,
)
