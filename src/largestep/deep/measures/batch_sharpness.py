"""How sharp the loss of a batch is along its own gradient: what SGD's steps feel."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from largestep import _checks
from largestep.deep.measures.base import Measure, Quantity, Subject, Values, pieces

__all__ = ["BatchSharpness"]


@dataclass
class BatchSharpness(Measure):
    """Mean over batches of gᵀ H_B g/‖g‖², g a batch's gradient and H_B the Hessian of its loss.

    SGD settles where it is 2/η, while the largest eigenvalue of the whole loss's Hessian, which
    is `Sharpness`, stays below, the more so the smaller the batch (Andreyev and Beneventano, 2024,
    arXiv:2412.20553). Times η it is the κ that `deep.HoldEdge` holds. In the model's own mode.

    Quantities: batch_sharpness, and batch_sharpness_error, its standard error over the batches. A
    batch whose gradient is zero is left out; NaN if all are.

    Parameters
    ----------
    batch_size : examples of a batch, at most those of the probe's batches; None for these as they
        are, which is right where the probe is given training's loader.
    batches : the most batches, the first ones, the same at every step.
    every : steps between measurements; None for the probe's.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, or no batch has `batch_size` examples.
    """

    batch_size: int | None = None
    batches: int = 8
    every: int | None = None

    quantities = MappingProxyType(
        {
            "batch_sharpness": Quantity("batch sharpness"),
            "batch_sharpness_error": Quantity(
                "standard error of the batch sharpness", logged=False
            ),
        }
    )
    needs = frozenset({"loss"})
    cost = "some 5 gradients of its batches"

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            self.batch_size = _checks.integer("batch_size", self.batch_size, at_least=1)
        self.batches = _checks.integer("batches", self.batches, at_least=1)

    def measure(self, subject: Subject) -> Values:
        """Return the batch sharpness and its error."""
        found = []
        for batch in pieces(subject.batches, self.batch_size)[: self.batches]:
            hessian = subject.hessian([batch])
            norm = float(np.linalg.norm(hessian.gradient))
            if norm != 0.0:
                along = hessian.gradient / norm
                found.append(float(along @ (hessian @ along)))
        count = len(found)
        return {
            "batch_sharpness": float(np.mean(found)) if count else np.nan,
            "batch_sharpness_error": float(np.std(found, ddof=1)) / count**0.5
            if count > 1
            else np.nan,
        }
