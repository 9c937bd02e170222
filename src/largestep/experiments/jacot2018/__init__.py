"""The neural tangent kernel, and the catapult beyond it."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "A. Jacot, F. Gabriel and C. Hongler, Neural tangent kernel: convergence and generalization in "
    "neural networks, NeurIPS 2018; A. Lewkowycz, Y. Bahri, E. Dyer, J. Sohl-Dickstein and "
    "G. Gur-Ari, The large learning rate phase of deep learning: the catapult mechanism, 2020",
    order=12,
)
