"""The implicit regularisation of dynamical stability."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "L. Wu and W. J. Su, The implicit regularization of dynamical stability in stochastic gradient "
    "descent, ICML 2023",
    order=10,
)
