"""Whether examples pull against each other: what their losses do between measurements."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from largestep import _checks
from largestep.deep._untouched import device_of
from largestep.deep.batches import labelled, part, take
from largestep.deep.measures.base import Measure, Quantity, Subject, Values

__all__ = ["Opposition"]

_MOVING = 0.05
"""The share of the examples that count as the most moving ones."""
_CHANGES = 8
"""Changes over which examples are correlated."""
_OPPOSED = -0.5


class Opposition(Measure):
    """What single examples' losses do between measurements, in evaluation mode.

    Few examples with opposing signals carry the instability of large steps: one step's gain on the
    ones is a loss on the others (Rosenfeld and Risteski, 2024). Over as many steps as lie between
    two measurements, so measure often. Quantities:

    - opposition : 1 − |Σ Δℓ|/Σ |Δℓ|, the share of the changes of loss that cancel: 0 if all fall
      together, 1 if as much is lost as gained.
    - moving_share : share of Σ |Δℓ| that the twentieth of the examples carry that moves most; 0.05
      if all move alike.
    - opposing_pairs : share of the pairs among these whose last eight changes have a correlation
      below −1/2; a tenth by chance.
    - unlearned : share of the examples whose loss is larger than at the first measurement. With
      labels that are wrong it stays as large as their share until they are learnt by heart.

    NaN where there is no change yet, fewer than eight, or nothing has changed.

    Parameters
    ----------
    inputs : how many, the first ones.
    every : steps between measurements; None for the probe's.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, the probe's batches are not (inputs, targets) or
        dictionaries with "labels", or the loss of one example is not one number.
    """

    quantities = MappingProxyType(
        {
            "opposition": Quantity("share of the changes of loss that cancel"),
            "moving_share": Quantity("share of the loss's changes in the most moving 5 %"),
            "opposing_pairs": Quantity("opposing pairs among the most moving"),
            "unlearned": Quantity("share of examples worse than at the start"),
        }
    )
    needs = frozenset({"loss"})
    cost = "a forward pass of its inputs, and their losses one by one"

    def __init__(self, inputs: int = 512, *, every: int | None = None) -> None:
        self.inputs = _checks.integer("inputs", inputs, at_least=2)
        self.every = every
        self._first: np.ndarray | None = None
        self._recent: list[np.ndarray] = []

    def start(self, subject: Subject) -> None:
        """Forget the losses of another training."""
        self._first, self._recent = None, []

    def measure(self, subject: Subject) -> Values:
        """Return what has happened since the measurement before."""
        now = _losses(subject, self.inputs)
        self._first = now if self._first is None else self._first
        self._recent = [*self._recent[-_CHANGES:], now]
        found = dict.fromkeys(self.quantities, np.nan)
        if not np.isfinite(now).all():
            return found
        found["unlearned"] = float(np.mean(now > self._first))
        changes = np.diff(self._recent, axis=0)
        if len(changes) and np.isfinite(changes[-1]).all() and changes[-1].any():
            size = np.abs(changes[-1])
            most = np.argsort(size)[-max(2, round(_MOVING * len(size))) :]
            found["opposition"] = 1.0 - abs(float(changes[-1].sum())) / float(size.sum())
            found["moving_share"] = float(size[most].sum() / size.sum())
            if len(changes) == _CHANGES:
                found["opposing_pairs"] = _opposing(changes[:, most])
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the losses of the first measurement and of the last ones, as tensors."""
        if self._first is None:
            return {}
        recent = torch.from_numpy(np.stack(self._recent))
        return {"first": torch.from_numpy(self._first), "recent": recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the losses."""
        self._first = state["first"].numpy() if state else None
        self._recent = list(state["recent"].numpy()) if state else []


def _losses(subject: Subject, count: int) -> np.ndarray:
    """Return the loss of each example by itself."""
    assert subject.loss_function is not None
    found = []
    batches = take(subject.batches, count)
    for batch, outputs in zip(batches, subject.outputs(batches), strict=True):
        targets = labelled(batch)[1].to(device_of(subject.model))
        for i in range(len(targets)):
            own = outputs[i : i + 1] if isinstance(outputs, Tensor) else None
            if own is None:  # of what class it is, the loss function knows
                own = subject.outputs([part(batch, i, i + 1)])[0]
            with torch.no_grad():
                loss = subject.loss_function(own, targets[i : i + 1])
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                shown = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise ValueError(f"the loss of one example must be one number, got {shown}")
            found.append(loss.reshape(()).double())
    return torch.stack(found).cpu().numpy()


def _opposing(changes: np.ndarray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = np.corrcoef(changes.T)[np.triu_indices(changes.shape[1], 1)]
    return float(np.mean(pairs < _OPPOSED)) if np.isfinite(pairs).any() else np.nan
