"""From logistic regression to the perceptron."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "A. Tyurin, From logistic regression to the perceptron algorithm: exploring gradient descent "
    "with large step sizes, 2024",
    order=14,
)
