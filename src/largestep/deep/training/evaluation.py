"""What is measured along a training run: losses, errors and feature sparsity by stage."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from largestep.deep import models
from largestep.deep.data import Dataset, permutation
from largestep.deep.features import gather
from largestep.deep.probe import MEASURES
from largestep.metrics import FeatureSparsity, feature_sparsity

if TYPE_CHECKING:
    from largestep.deep.training import Training

__all__ = ["Evaluations", "autocast"]

_BATCH = 500
_LOSSES = {
    "train_loss": "training loss",
    "train_error": "training error",
    "test_loss": "test loss",
    "test_error": "test error",
}


class Evaluations:
    """The record of a run, a row for each of the steps at which it is evaluated.

    Losses are mean cross-entropies; errors are shares of examples; both of the network in
    evaluation mode. "Training" is a fixed random subset of the training examples, unaugmented and
    with clean labels; feature sparsity is measured on it too.

    Attributes
    ----------
    steps : when to evaluate: at the start, at the end and evenly between.
    rows : {variable: float64 tensor of shape (evaluations,) or (evaluations, layers)}; NaN where
        nothing has been measured.
    """

    def __init__(
        self,
        settings: "Training",
        data: Dataset,
        model: nn.Module,
        steps: int,
        memory_format: torch.memory_format,
    ) -> None:
        grid = np.linspace(0, steps, settings.evaluations + 1).round()
        self.steps = np.unique(grid.astype(np.int64))
        self._rows = {int(step): row for row, step in enumerate(self.steps)}
        self.layers = models.stages(model)
        self._settings = settings
        chosen = permutation(len(data.x_train), seed=0, epoch=0)[: settings.examples]
        chosen = chosen.to(data.x_train.device)
        self._train, self._test = (
            [
                (data.normalise(x).contiguous(memory_format=memory_format), y)
                for x, y in zip(
                    torch.split(images, _BATCH), torch.split(labels, _BATCH), strict=True
                )
            ]
            for images, labels in (
                (data.x_train[chosen], data.y_train[chosen]),
                (data.x_test, data.y_test),
            )
        )
        self.rows = {
            name: torch.full((len(self.steps),), torch.nan, dtype=torch.float64)
            for name in ("step_size", "running_loss")
        }
        for prefix in ("", "averaged_") if settings.averaging else ("",):
            for name in _LOSSES:
                self.rows[prefix + name] = torch.full_like(self.rows["step_size"], torch.nan)
            for name in MEASURES:
                self.rows[prefix + name] = torch.full(
                    (len(self.steps), len(self.layers)), torch.nan, dtype=torch.float64
                )

    def due(self, step: int) -> bool:
        """Return whether the step is one to evaluate at."""
        return step in self._rows

    def record(
        self,
        step: int,
        model: nn.Module,
        averaged: nn.Module | None,
        step_size: float,
        losses: torch.Tensor,
    ) -> bool:
        """Fill the row of a step; return whether the network has collapsed: all outputs equal.

        Parameters
        ----------
        losses : of the mini-batches of all steps.
        """
        row = self._rows[step]
        self.rows["step_size"][row] = step_size
        if row > 0:
            self.rows["running_loss"][row] = losses[self.steps[row - 1] : step].mean().item()
        collapsed = self._measure(row, model, "")
        if averaged is not None:
            # The batch statistics of averaged weights are not the average of batch statistics.
            with self._autocast():
                update_bn(self._train, averaged)
            self._measure(row, averaged, "averaged_")
        return collapsed

    def dataset(self) -> xr.Dataset:
        """Return the record as a dataset with dimensions `step` and `layer`."""
        dataset = xr.Dataset(
            {
                name: (("step", "layer")[: values.ndim], values.numpy().copy())
                for name, values in self.rows.items()
            },
            coords={"step": self.steps, "layer": list(self.layers)},
        )
        long_names = _LOSSES | MEASURES
        long_names |= {f"averaged_{k}": f"{v}, averaged weights" for k, v in long_names.items()}
        long_names |= {
            "step_size": "step size η",
            "running_loss": "mean loss of the batches since the evaluation before",
            "step": "steps completed",
            "layer": "stage",
        }
        for name in dataset.variables:
            units = "steps" if name == "step" else "1"
            dataset[name].attrs.update(long_name=long_names[str(name)], units=units)
        return dataset

    def scalars(self, step: int) -> dict[str, float]:
        """Return the row of a step, with names such as distinct/stage2."""
        row = self._rows[step]
        scalars = {}
        for name, values in self.rows.items():
            if values.ndim == 1:
                scalars[name] = values[row].item()
            else:
                for layer, value in zip(self.layers, values[row].tolist(), strict=True):
                    scalars[f"{name}/{layer}"] = value
        return scalars

    def _measure(self, row: int, model: nn.Module, prefix: str) -> bool:
        model.eval()
        collapsed = False
        for part, batches in (("train", self._train), ("test", self._test)):
            with torch.no_grad(), self._autocast():
                outputs = torch.cat([model(images) for images, _ in batches]).float()
            labels = torch.cat([labels for _, labels in batches])
            loss = functional.cross_entropy(outputs.double(), labels)
            self.rows[f"{prefix}{part}_loss"][row] = loss.item()
            wrong = (outputs.argmax(1) != labels) | ~outputs.isfinite().all(1)
            self.rows[f"{prefix}{part}_error"][row] = wrong.double().mean().item()
            if part == "train":
                spread = (outputs.amax(0) - outputs.amin(0)).max()
                collapsed = bool(spread <= 1e-6 * outputs.abs().max())
        for column, found in enumerate(self._sparsity(model)):
            for name in MEASURES:
                self.rows[prefix + name][row, column] = getattr(found, name, torch.nan)
        model.train()
        return collapsed

    def _sparsity(self, model: nn.Module) -> list[FeatureSparsity | None]:
        """Return the sparsity of each stage, None where features are not finite."""
        layers = gather(model, self._train, self.layers, max_units=self._settings.max_units)
        features = [layers[name].features for name in self.layers]
        return [feature_sparsity(f) if bool(f.isfinite().all()) else None for f in features]

    def _autocast(self) -> torch.autocast:
        return autocast(self._settings.precision, self._train[0][0].device)


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context of a precision, "fp32" or "bf16"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
