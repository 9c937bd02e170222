"""How well a classifier does: its loss, and the share of examples it gets wrong."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from largestep import _checks
from largestep.deep.batches import Batch, take
from largestep.deep.measures.base import Measure, Quantity, Subject, Values, pairs

__all__ = ["Errors"]


class Errors(Measure):
    """Mean cross-entropy and share of wrong answers, in evaluation mode.

    Quantities: loss and error, after the part's name, as in test_error. An output that is not
    finite is a wrong answer. Of sequences every token counts alike.

    Parameters
    ----------
    part : what the examples are called, "test" for instance; nothing by default.
    batches : of (inputs, labels), taken once and kept; by default those of the probe. Labels have
        shape (n,) where outputs have (n, classes), and (n, tokens) where they have (n, tokens,
        classes).
    examples : the most to take of them.
    every : steps between measurements; None for the probe's.

    Raises
    ------
    TypeError, ValueError
        If the batches are not (inputs, labels), with labels that are 64-bit integers.
    """

    cost = "a forward pass"

    def __init__(
        self,
        part: str = "",
        batches: Iterable[Batch] | None = None,
        *,
        examples: int = 10_000,
        every: int | None = None,
    ) -> None:
        examples = _checks.integer("examples", examples, at_least=1)
        self._prefix = f"{part}_" if part else ""
        of = {"train": "training "}.get(part, f"{part} " if part else "")
        self.quantities = {
            f"{self._prefix}loss": Quantity(f"{of}loss"),
            f"{self._prefix}error": Quantity(f"{of}error"),
        }
        self._batches = None if batches is None else _labelled(take(batches, examples))
        self.every = every

    def measure(self, subject: Subject) -> Values:
        """Return loss and error."""
        batches = self._batches
        answers = subject.outputs(batches)
        if batches is None:
            batches = _labelled(subject.batches)
        pairs_of_them = zip(answers, batches, strict=True)
        outputs = torch.cat([_scores(a, labels) for a, (_, labels) in pairs_of_them]).float()
        labels = torch.cat([labels.flatten() for _, labels in batches]).to(outputs.device)
        loss = functional.cross_entropy(outputs.double(), labels)
        wrong = (outputs.argmax(1) != labels) | ~outputs.isfinite().all(1)
        return {
            f"{self._prefix}loss": loss.item(),
            f"{self._prefix}error": wrong.double().mean().item(),
        }


def _labelled(batches: list[Any] | Any) -> list[tuple[Tensor, Tensor]]:
    found = pairs(batches, "Errors")
    for _, labels in found:
        if labels.dtype != torch.int64 or labels.ndim not in (1, 2):
            raise TypeError(
                "Errors needs labels of shape (n,) or (n, tokens) that are 64-bit integers, got "
                f"{labels.dtype} of shape {tuple(labels.shape)}"
            )
    return found


def _scores(answer: Any, labels: Tensor) -> Tensor:
    """Return outputs as rows, one for each label."""
    if not isinstance(answer, Tensor) or answer.shape[:-1] != labels.shape:
        found = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        wanted = ", ".join(map(str, labels.shape))
        raise TypeError(f"Errors needs outputs of shape ({wanted}, classes), got {found}")
    return answer.flatten(0, -2)
