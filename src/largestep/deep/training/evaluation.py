"""What is measured along a training run: losses, errors and feature sparsity by stage."""

import warnings
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.optim.swa_utils import update_bn

from largestep.deep import models
from largestep.deep.data.dataset import Examples, permutation
from largestep.deep.features import Layer, gather
from largestep.deep.measures.base import Measure, Quantity, Subject
from largestep.deep.measures.errors import Errors
from largestep.deep.measures.record import Record, together
from largestep.deep.measures.sparsity import Sparsity
from largestep.deep.training.settings import Training

__all__ = ["Evaluations", "autocast"]

_BATCH = 500
_AVERAGED = "averaged_"
_RUNNING = {
    "step_size": Quantity("step size η"),
    "running_loss": Quantity("mean loss of the batches since the evaluation before"),
}


class Evaluations:
    """The record of a run: what the network is at some of its steps.

    Losses are mean cross-entropies; errors are shares of examples, or of the tokens of sequences;
    both of the network in evaluation mode. "Training" is a fixed random subset of the training
    examples, unaugmented and with clean labels; feature sparsity is measured on it too: of
    sequences on as many of their tokens, drawn at random, a row each, as a unit is the same one at
    every position.

    Attributes
    ----------
    steps : when to evaluate: at the start, at the end and evenly between.
    """

    def __init__(
        self,
        settings: Training,
        data: Examples,
        model: nn.Module,
        steps: int,
        memory_format: torch.memory_format,
    ) -> None:
        grid = np.linspace(0, steps, settings.evaluations + 1).round()
        self.steps = np.unique(grid.astype(np.int64))
        self._due = set(self.steps.tolist())
        self.layers = models.stages(model)
        self._settings = settings
        chosen = permutation(len(data.x_train), seed=0, epoch=0)[: settings.examples]
        chosen = chosen.to(data.x_train.device)
        per_token = data.y_train.ndim > 1
        self._rows: dict[str, Any] = (
            {"units": "channel", "max_rows": settings.examples} if per_token else {}
        )
        self._train, test = (
            [
                (data.normalise(x).contiguous(memory_format=memory_format), y)
                for x, y in zip(
                    torch.split(inputs, _BATCH), torch.split(labels, _BATCH), strict=True
                )
            ]
            for inputs, labels in (
                (data.x_train[chosen], data.y_train[chosen]),
                (data.x_test, data.y_test),
            )
        )
        self._measures: tuple[Measure, ...] = (
            Sparsity(),  # first: the pass that gathers the features gives the outputs too
            Errors("train"),
            Errors("test", test, examples=len(data.x_test)),
        )
        measured = together((type(m).__name__, m.quantities) for m in self._measures)
        averaged = {
            _AVERAGED + name: Quantity(f"{q.long_name}, averaged weights", q.along, q.logged)
            for name, q in measured.items()
            if settings.averaging
        }
        self._record = Record(_RUNNING | measured | averaged)

    def due(self, step: int) -> bool:
        """Return whether the step is one to evaluate at."""
        return step in self._due

    def record(
        self,
        step: int,
        model: nn.Module,
        averaged: nn.Module | None,
        step_size: float,
        losses: torch.Tensor,
    ) -> bool:
        """Record a step; return whether the network has collapsed: all outputs equal.

        Parameters
        ----------
        losses : of the mini-batches of all steps.
        """
        self._record.add(step, {"step_size": step_size})
        before = self.steps[self.steps < step]
        if len(before):
            self._record.add(step, {"running_loss": losses[before[-1] : step].mean().item()})
        subject = self._subject(model)
        self._measure(step, subject, "")
        if averaged is not None:
            # The batch statistics of averaged weights are not the average of batch statistics.
            with self._autocast():
                update_bn(self._train, averaged)
            self._measure(step, self._subject(averaged), _AVERAGED)
        outputs = torch.cat(subject.outputs()).float()
        spread = (outputs.amax(0) - outputs.amin(0)).max()
        return bool(spread <= 1e-6 * outputs.abs().max())

    def dataset(self) -> xr.Dataset:
        """Return the record as a dataset with dimensions `step` and `layer`."""
        dataset = self._record.dataset(self.steps.tolist())
        dataset.step.attrs.update(long_name="steps completed", units="steps")
        dataset.layer.attrs.update(long_name="stage", units="1")
        return dataset

    def scalars(self, step: int) -> dict[str, float]:
        """Return what was recorded at a step, with names such as distinct/stage2."""
        return self._record.scalars(step)

    def state_dict(self) -> dict[str, Any]:
        """Return the record, as JSON can hold it."""
        return self._record.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a record."""
        self._record.load_state_dict(state)

    def _measure(self, step: int, subject: Subject, prefix: str) -> None:
        for measure in self._measures:
            with warnings.catch_warnings():
                # NaN says of a layer that is not finite all that is to be said here.
                warnings.simplefilter("ignore", RuntimeWarning)
                values = measure.measure(subject)
            self._record.add(step, {prefix + name: value for name, value in values.items()})

    def _subject(self, model: nn.Module) -> Subject:
        def features() -> dict[str, Layer]:
            outputs: list[torch.Tensor] = []

            def forward(model: nn.Module, batch: Any) -> torch.Tensor:
                outputs.append(self._forward(model, batch))
                return outputs[-1]

            found = gather(
                model,
                self._train,
                self.layers,
                max_units=self._settings.max_units,
                forward=forward,
                **self._rows,
            )
            subject.keep(outputs)
            return found

        subject = Subject(model, self._train, forward=self._forward, features=features)
        return subject

    def _forward(self, model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        with self._autocast():
            outputs: torch.Tensor = model(batch[0])
        return outputs

    def _autocast(self) -> torch.autocast:
        return autocast(self._settings.precision, self._train[0][0].device)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context of a precision, "fp32" or "bf16"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
