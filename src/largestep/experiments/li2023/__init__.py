"""Neurons of transformers that are hardly ever active."""

from largestep.experiments.experiment import Paper

PAPER = Paper(
    "Z. Li and others, The lazy neuron phenomenon: on emergence of activation sparsity in "
    "transformers, ICLR 2023",
    order=18,
)
