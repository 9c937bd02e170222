"""Instabilities of large transformers, seen in small ones."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "M. Wortsman and others, Small-scale proxies for large-scale transformer training "
    "instabilities, 2023",
    order=19,
)
