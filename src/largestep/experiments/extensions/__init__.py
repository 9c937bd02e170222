"""Beyond the paper: step sizes that set themselves, rivals, smaller networks."""

from largestep.experiments.experiment import Paper

PAPER = Paper("largestep's own", order=1, whose="our own")
