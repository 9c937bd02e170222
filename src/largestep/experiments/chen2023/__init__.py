"""Noise attracts to simpler subnetworks."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "F. Chen, D. Kunin, A. Yamamura and S. Ganguli, Stochastic collapse: how gradient noise "
    "attracts SGD dynamics towards simpler subnetworks, NeurIPS 2023",
    order=22,
)
