"""Train longer: updates count, not epochs."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "E. Hoffer, I. Hubara and D. Soudry, Train longer, generalize better: closing the "
    "generalization gap in large batch training of neural networks, NeurIPS 2017; J. Geiping, "
    "M. Goldblum, P. Pope, M. Moeller and T. Goldstein, Stochastic training is not necessary for "
    "generalization, ICLR 2022",
    order=21,
)
