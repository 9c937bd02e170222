"""Gradient descent in a tiny subspace, and whether it learns there."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "G. Gur-Ari, D. A. Roberts and E. Dyer, Gradient descent happens in a tiny subspace, 2018; "
    "M. Song, K. Ahn and C. Yun, Does SGD really happen in tiny subspaces?, ICLR 2025; "
    "D. Granziol, S. Zohren and S. Roberts, Learning rates as a function of batch size, JMLR 2022",
    order=20,
)
