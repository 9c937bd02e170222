"""How sharp the loss is: the largest eigenvalue of its Hessian."""

from dataclasses import dataclass
from types import MappingProxyType

from largestep import _checks
from largestep.deep.batches import take
from largestep.deep.measures.base import Measure, Quantity, Subject, Values
from largestep.metrics.spectrum import largest_eigenvalues

__all__ = ["Sharpness"]


@dataclass
class Sharpness(Measure):
    """The largest eigenvalue of the loss's Hessian, in the model's own mode.

    Quantity: sharpness. Batches must be (inputs, targets), or dictionaries of the model's arguments
    with "labels" as the targets; the loss function then gets whatever the model returns.

    Parameters
    ----------
    inputs : how many to take it at, the first ones.
    tolerance : relative, of the eigenvalue; see `metrics.spectrum.largest_eigenvalues`.
    every : steps between measurements; None for the probe's.
    seed : of the vector that the iteration starts from.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.
    """

    inputs: int = 128
    tolerance: float = 0.01
    every: int | None = None
    seed: int = 0

    quantities = MappingProxyType({"sharpness": Quantity("sharpness")})
    needs = frozenset({"loss"})
    cost = "some 25 gradients of its inputs"

    def __post_init__(self) -> None:
        self.inputs = _checks.integer("inputs", self.inputs, at_least=1)

    def measure(self, subject: Subject) -> Values:
        """Return the sharpness."""
        hessian = subject.hessian(take(subject.batches, self.inputs))
        found = largest_eigenvalues(hessian, tolerance=self.tolerance, seed=self.seed)
        return {"sharpness": float(found.values[0])}
