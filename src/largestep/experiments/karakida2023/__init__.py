"""Understanding gradient regularization in deep learning."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "R. Karakida, T. Takase, T. Hayase and K. Osawa, Understanding gradient regularization in deep "
    "learning: efficient finite-difference computation and implicit bias, ICML 2023",
    order=12,
)
