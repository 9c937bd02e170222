"""What a measure is: what it gives, what it needs, how often; and what it may look at."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from largestep.deep._untouched import without_a_trace
from largestep.deep.batches import Batch, count_inputs, cut, is_pair, moved
from largestep.deep.curvature.hessian import Hessian
from largestep.deep.features import Layer, forward_by_default

__all__ = ["LossFunction", "Measure", "Need", "Quantity", "Subject", "Values"]

LossFunction = Callable[[Any, Tensor], Tensor]
"""Of outputs and targets: the mean over the batch."""

Need = Literal["features", "loss", "two batches"]

Values = Mapping[str, float | Mapping[str, float]]
"""Numbers by the name of their quantity; by the entries of its dimension, if it has one."""


@dataclass(frozen=True)
class Quantity:
    """What a measure gives under one name: a number, or one for each entry of a dimension.

    Attributes
    ----------
    long_name : what a plot's axis says.
    along : the dimension; "layer" is that of the features. None for a single number.
    logged : whether loggers hear of it.
    """

    long_name: str
    along: str | None = None
    logged: bool = True


class Subject:
    """A model at one step of its training, with inputs to measure it at.

    What several measures need is made once, when the first asks for it.

    Parameters
    ----------
    model : the model itself, without wrappers.
    batches : of inputs, kept for measuring.
    loss_function : if there is one.
    forward : how to run the model on a batch.
    features : gathers the features of the layers.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Sequence[Batch],
        *,
        loss_function: LossFunction | None = None,
        forward: Callable[[nn.Module, Batch], Any] | None = None,
        features: Callable[[], dict[str, Layer]],
    ) -> None:
        self.model, self.batches, self.loss_function = model, batches, loss_function
        self._forward = forward_by_default if forward is None else forward
        self._gather = features
        self._features: dict[str, Layer] | None = None
        self._outputs: list[Any] | None = None

    def features(self) -> dict[str, Layer]:
        """Return the features by layer."""
        if self._features is None:
            self._features = self._gather()
        return self._features

    def outputs(self, batches: Sequence[Batch] | None = None) -> list[Any]:
        """Return what the model gives for each batch, in evaluation mode, without gradients.

        Parameters
        ----------
        batches : in place of the subject's own.
        """
        if batches is not None:
            return self._run(batches)
        if self._outputs is None:
            self._outputs = self._run(self.batches)
        return self._outputs

    def keep(self, outputs: list[Any]) -> None:
        """Take the outputs that another pass over the batches has given already."""
        self._outputs = outputs

    def hessian(self, batches: Sequence[Batch]) -> Hessian:
        """Return the Hessian of the loss on batches, in the model's own mode."""
        assert self.loss_function is not None  # a probe asks for it first
        return Hessian(self.model, self.loss_function, batches)

    def _run(self, batches: Sequence[Batch]) -> list[Any]:
        with without_a_trace(self.model):
            return [self._forward(self.model, moved(batch, self.model)) for batch in batches]


class Measure(ABC):
    """Something that is measured of a model while it trains.

    A measure leaves the model as it finds it. What runs the model leaves no trace: the subject's
    own functions, and those of `deep.curvature`.

    Attributes
    ----------
    quantities : what it gives, by name.
    needs : "features" of layers, a "loss" function, "two batches" or more.
    cost : of one measurement, in words.
    every : steps between measurements; None for the probe's.
    """

    quantities: Mapping[str, Quantity]
    needs: ClassVar[frozenset[Need]] = frozenset()
    cost: ClassVar[str]
    every: int | None = None

    def start(self, subject: Subject) -> None:  # noqa: B027  (most have nothing to do)
        """Take note of the model as it is before its training."""

    @abstractmethod
    def measure(self, subject: Subject) -> Values:
        """Return the quantities, NaN for what is not finite."""

    def state_dict(self) -> dict[str, Any]:
        """Return what must be kept in a checkpoint; nothing for most."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, got {sorted(state)}")


def pairs(batches: Sequence[Batch], measure: str) -> list[tuple[Tensor, Tensor]]:
    """Return batches as (inputs, targets).

    Raises
    ------
    TypeError
        If one is no pair of tensors; the error names the measure.
    """
    for batch in batches:
        if not is_pair(batch):
            raise TypeError(
                f"{measure} needs batches of (inputs, targets), got {type(batch).__name__}"
                + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
            )
    return [tuple(batch) for batch in batches]


def pieces(batches: Sequence[Batch], batch_size: int | None) -> list[Batch]:
    """Return batches as they are, or cut to one size.

    Raises
    ------
    ValueError
        If none holds so many examples.
    """
    if batch_size is None:
        return list(batches)
    found = cut(batches, batch_size)
    if not found:
        raise ValueError(
            f"batch_size must be at most {max(map(count_inputs, batches))}, the examples of the "
            f"probe's largest batch, got {batch_size}"
        )
    return found
