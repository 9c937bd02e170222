"""How much sharper the loss of one batch is than that of many."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from largestep import _checks
from largestep.deep.batches import take
from largestep.deep.measures.base import Measure, Quantity, Subject, Values, pieces
from largestep.metrics.spectrum import largest_eigenvalues

__all__ = ["BatchHessian"]


@dataclass
class BatchHessian(Measure):
    """The largest eigenvalue of a batch's Hessian over that of all inputs' Hessian, by batches.

    The outliers of a batch's Hessian lie above those of the whole one, for small batches far above
    (Granziol, Zohren and Roberts, 2022): 1 for a batch that is as sharp as the whole. In the
    model's own mode. Quantity: batch_hessian, the mean over the batches; NaN where the whole has no
    positive eigenvalue.

    Parameters
    ----------
    inputs : how many the whole is, the first ones.
    batch_size : examples of a batch; None for the probe's batches as they are.
    batches : the most batches, the first of the whole.
    tolerance : relative, of the eigenvalues.
    every : steps between measurements; None for the probe's.
    seed : of the vectors that the iterations start from.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, or the inputs are not two batches or more.
    """

    inputs: int = 256
    batch_size: int | None = None
    batches: int = 4
    tolerance: float = 0.01
    every: int | None = None
    seed: int = 0

    quantities = MappingProxyType(
        {"batch_hessian": Quantity("largest Hessian eigenvalue, of a batch over the whole")}
    )
    needs = frozenset({"loss"})
    cost = "some 25 gradients of its inputs, and of its batches"

    def __post_init__(self) -> None:
        self.inputs = _checks.integer("inputs", self.inputs, at_least=2)
        if self.batch_size is not None:
            self.batch_size = _checks.integer("batch_size", self.batch_size, at_least=1)
        self.batches = _checks.integer("batches", self.batches, at_least=1)

    def measure(self, subject: Subject) -> Values:
        """Return the ratio."""
        whole = pieces(take(subject.batches, self.inputs), self.batch_size)
        if len(whole) < 2:
            raise ValueError(
                "BatchHessian needs two batches or more among its inputs, got one: give the probe "
                "smaller batches, or a batch_size"
            )
        full, *parts = (
            largest_eigenvalues(
                subject.hessian(batches), tolerance=self.tolerance, seed=self.seed
            ).values[0]
            for batches in (whole, *([batch] for batch in whole[: self.batches]))
        )
        return {"batch_hessian": float(np.mean(parts) / full) if full > 0 else np.nan}
