"""How much of the gradient lies in the few sharpest directions, and whether these stay."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from largestep import _checks
from largestep.deep.batches import take
from largestep.deep.measures.base import Measure, Quantity, Subject, Values
from largestep.metrics.spectrum import gradient_share, largest_eigenvalues

__all__ = ["Subspace"]


class Subspace(Measure):
    """The gradient's share in the span of the Hessian's top eigenvectors, and that span's drift.

    "Gradient descent happens in a tiny subspace" (Gur-Ari, Roberts and Dyer, 2018) where the share
    is near 1 and the overlaps too; learning need not happen there (Song, Ahn and Yun, 2025). In the
    model's own mode. Quantities:

    - subspace_share : ‖Vᵀg‖²/‖g‖²; k/p for a random gradient in R^p.
    - subspace_overlap : ‖VᵀV′‖_F²/k with the V′ of the measurement before, and
      subspace_overlap_start, with that of the first; 1 if nothing has turned, k/p if at random.

    NaN where there is nothing to compare with, or eigenvalues have not converged.

    Parameters
    ----------
    k : how many directions; None for one less than the classes, where the gap in the spectrum
        usually is.
    inputs : how many to take the Hessian at, the first ones.
    tolerance : relative, of the eigenvalues.
    every : steps between measurements; None for the probe's.
    seed : of the vector that the iteration starts from.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, k exceeds the number of parameters, or k is None and the
        outputs have no shape (n, classes).
    """

    quantities = MappingProxyType(
        {
            "subspace_share": Quantity("gradient's share in the top subspace"),
            "subspace_overlap": Quantity("overlap of the top subspace"),
            "subspace_overlap_start": Quantity("overlap of the top subspace"),
        }
    )
    needs = frozenset({"loss"})
    cost = "some 30 gradients of its inputs, and 10 more for each direction"

    def __init__(
        self,
        k: int | None = None,
        *,
        inputs: int = 128,
        tolerance: float = 0.01,
        every: int | None = None,
        seed: int = 0,
    ) -> None:
        self.k = None if k is None else _checks.integer("k", k, at_least=1)
        self.inputs = _checks.integer("inputs", inputs, at_least=1)
        self.tolerance, self.every, self.seed = tolerance, every, seed
        self._first: np.ndarray | None = None
        self._last: np.ndarray | None = None

    def start(self, subject: Subject) -> None:
        """Forget the subspaces of another training."""
        self._first = self._last = None

    def measure(self, subject: Subject) -> Values:
        """Return share and overlaps."""
        hessian = subject.hessian(take(subject.batches, self.inputs))
        k = _classes(subject) - 1 if self.k is None else self.k
        found = largest_eigenvalues(hessian, k, tolerance=self.tolerance, seed=self.seed)
        if np.isfinite(found.values).all():
            top = found.vectors
            share = gradient_share(hessian.gradient, top)
            overlaps = [_overlap(top, other) for other in (self._last, self._first)]
            self._first = top if self._first is None else self._first
            self._last = top
        else:
            share, overlaps = np.nan, [np.nan, np.nan]
        return {
            "subspace_share": share,
            "subspace_overlap": overlaps[0],
            "subspace_overlap_start": overlaps[1],
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the first subspace and the last, as tensors."""
        kept = {"first": self._first, "last": self._last}
        return {name: torch.from_numpy(v) for name, v in kept.items() if v is not None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the subspaces."""
        self._first, self._last = (
            state[name].numpy() if name in state else None for name in ("first", "last")
        )


def _overlap(one: np.ndarray, other: np.ndarray | None) -> float:
    return np.nan if other is None else float(np.sum((one.T @ other) ** 2)) / one.shape[1]


def _classes(subject: Subject) -> int:
    outputs = subject.outputs()[0]
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[1] < 2:
        found = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(
            f"Subspace takes k from outputs of shape (n, classes), got {found}: give k"
        )
    return outputs.shape[1]
