"""Watching the features of a model grow sparse while it trains."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from largestep import _checks, _files, metrics
from largestep.deep._untouched import unwrapped
from largestep.deep.batches import Batch, take
from largestep.deep.curvature.hessian import Hessian
from largestep.deep.features import Layer, Layers, Units, gather
from largestep.metrics import FeatureSparsity, Plateau, feature_sparsity
from largestep.metrics.spectrum import largest_eigenvalues

__all__ = ["MEASURES", "Logger", "Probe", "sparsity"]

Logger = Callable[[int, Mapping[str, float]], Any]
"""Takes a step and the scalars measured there, by name."""

MEASURES = {
    "raw": "share of active units",
    "distinct": "feature sparsity",
    "dead": "dead units",
    "merged": "merged units",
}
"""What is measured of a layer, as `metrics.FeatureSparsity` names it, in words."""

_RECORDED = MEASURES | {"units": "units measured"}


def sparsity(
    layer: Layer, correlation_threshold: float = 0.95, smooth_threshold: float = 0.0
) -> FeatureSparsity:
    """Return the sparsity of a layer's features; the settings are explained at `Probe`."""
    above = 0.0
    if smooth_threshold > 0 and not layer.rectified:
        above = smooth_threshold * float(layer.features.double().square().mean().sqrt())
    return feature_sparsity(layer.features, correlation_threshold, active_above=above)


class Probe:
    """Measures how sparse a model's features are, every so many steps of its training.

    The model is run on inputs of its own, in evaluation mode and without gradients, and nothing
    of it changes: neither its mode, buffers and gradients nor any random state, so that training
    goes on bit for bit as it would without the probe. The features are gathered and measured on
    the model's device. It is measured once when the probe is made, as step 0.

    In training by several processes, one probe in each, the first process measures.

    Parameters
    ----------
    model : any module; compiled, data-parallel and distributed wrappers are looked through.
    batches : where the inputs come from: tensors, (input, …) tuples or dictionaries, such as a
        `DataLoader` gives. The first `max_inputs` inputs are taken once and kept.
    layers : "auto", names, patterns or functions, as `layers.gather` explains.
    every : steps between measurements.
    units : "position" counts each channel at each position as a unit, as in the paper; "channel"
        each channel.
    max_inputs : inputs to measure at, and the most rows if units are channels.
    max_units : the most units of a layer; beyond them a random subset, the same at every step,
        stands for all.
    correlation_threshold : of `metrics.feature_sparsity`.
    smooth_threshold : units of GELU and its like are nowhere exactly zero; they count as active
        above this share of the layer's root mean square. It is a rule of thumb, not a definition.
        0 counts what is positive.
    loss_function : of outputs and targets, a mean over the batch. If given, the sharpness is
        measured too, the largest eigenvalue of the loss's Hessian at the first 128 inputs, in the
        model's own mode; that takes some 25 gradients. Batches must then be (inputs, targets).
    forward : how to run the model on a batch, (model, batch) → anything; see `layers.gather`.
    loggers : called with the step and the scalars after every measurement.
    seed : fixes the subsets.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, there are no inputs, or a layer matches nothing.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    >>> inputs = torch.randn(100, 5)
    >>> probe = Probe(model, inputs, every=10)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> for _ in range(20):
    ...     loss = model(inputs).square().mean()
    ...     loss.backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    ...     _ = probe.step(loss)
    >>> probe.dataset().distinct.dims
    ('step', 'layer')
    >>> probe.dataset().step.values
    array([ 0, 10, 20])
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        layers: Layers = "auto",
        *,
        every: int = 100,
        units: Units = "position",
        max_inputs: int = 1024,
        max_units: int = 1000,
        correlation_threshold: float = 0.95,
        smooth_threshold: float = 0.0,
        loss_function: Callable[[Any, Tensor], Tensor] | None = None,
        forward: Callable[[nn.Module, Batch], Any] | None = None,
        loggers: Sequence[Logger] = (),
        seed: int = 0,
    ) -> None:
        self.model = unwrapped(model)
        self.layers = layers
        self.every = _checks.integer("every", every, at_least=1)
        self.units: Units = units
        self.max_inputs = _checks.integer("max_inputs", max_inputs, at_least=1)
        self.max_units = _checks.integer("max_units", max_units, at_least=1)
        self.correlation_threshold = _checks.number(
            "correlation_threshold", correlation_threshold, above=0.0, at_most=1.0
        )
        self.smooth_threshold = _checks.number("smooth_threshold", smooth_threshold, at_least=0.0)
        self.loss_function = loss_function
        self.forward = forward
        self.loggers = list(loggers)
        self.seed = _checks.integer("seed", seed, at_least=0)
        self.batches = take(batches, self.max_inputs)
        self.steps = 0
        self._losses: dict[int, float | Tensor] = {}
        self._records: dict[int, dict[str, dict[str, float]]] = {}
        self._sharpness: dict[int, float] = {}
        self._warned: set[str] = set()
        self._record()

    def features(self) -> dict[str, Layer]:
        """Return the features of the layers, as they are now.

        Raises
        ------
        ValueError
            If a layer gives no tensor, or its shape depends on the inputs.
        """
        return gather(
            self.model,
            self.batches,
            self.layers,
            units=self.units,
            max_units=self.max_units,
            max_rows=self.max_inputs,
            seed=self.seed,
            forward=self.forward,
        )

    def measure(self) -> dict[str, FeatureSparsity]:
        """Return the sparsity of the layers as it is now; nothing is recorded.

        Raises
        ------
        ValueError
            If an activation is not finite, or for the reasons of `features`.
        """
        return {name: self._sparsity(layer) for name, layer in self.features().items()}

    def step(self, loss: float | Tensor | None = None) -> dict[str, float] | None:
        """Count a step of training, and measure if it is time.

        Parameters
        ----------
        loss : the training loss of the step, for `plateau` and the dataset.

        Returns
        -------
        The scalars by name if it was time, otherwise None. Of a layer with activations that are
        not finite they are NaN; a warning says so once, and training goes on.
        """
        self.steps += 1
        if loss is not None:
            self.record_loss(loss)
        if self.steps % self.every:
            return None
        return self._record()

    def record_loss(self, loss: float | Tensor) -> None:
        """Record the training loss at the present step, where `step` is not given it."""
        if isinstance(loss, Tensor) and loss.numel() != 1:
            raise ValueError(f"loss must be a single number, got shape {tuple(loss.shape)}")
        # Reading a number off an accelerator would make the loop wait for it; and what is not
        # read yet may be overwritten.
        self._losses[self.steps] = (
            loss.detach().clone().reshape(()) if isinstance(loss, Tensor) else float(loss)
        )

    def plateau(self) -> Plateau | None:
        """Return the plateau of the training loss up to now, or None: see `metrics.plateau`.

        Raises
        ------
        ValueError
            If no loss was recorded.
        """
        losses = self._numbers()
        if not losses:
            raise ValueError("a plateau needs the losses: give them to probe.step(loss)")
        return metrics.plateau(np.array(list(losses)), np.array(list(losses.values())))

    def dataset(self) -> xr.Dataset:
        """Return what was recorded.

        Returns
        -------
        Dataset with dimensions step and layer: raw, distinct, dead, merged, units (see
        `metrics.FeatureSparsity`); train_loss along loss_step; and sharpness, if measured.
        """
        layers = list(dict.fromkeys(name for r in self._records.values() for name in r))
        data: dict[str, Any] = {
            measure: (
                ("step", "layer"),
                np.array(
                    [
                        [record.get(name, {}).get(measure, np.nan) for name in layers]
                        for record in self._records.values()
                    ],
                    dtype=np.float64,
                ).reshape(len(self._records), len(layers)),
                {"long_name": long_name},
            )
            for measure, long_name in _RECORDED.items()
        }
        if self._sharpness:
            sharpness = [self._sharpness.get(step, np.nan) for step in self._records]
            data["sharpness"] = ("step", sharpness, {"long_name": "sharpness"})
        losses = self._numbers()
        return xr.Dataset(
            {
                **data,
                "train_loss": ("loss_step", list(losses.values()), {"long_name": "training loss"}),
            },
            coords={"step": list(self._records), "layer": layers, "loss_step": list(losses)},
        )

    def save(self, path: str | Path) -> None:
        """Write the dataset to a NetCDF file, in one step."""
        dataset = self.dataset()
        _files.atomically(Path(path), lambda file: dataset.to_netcdf(file, engine="h5netcdf"))

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded, as plain numbers, for a checkpoint."""
        return {
            "steps": self.steps,
            "losses": self._numbers(),
            "records": dict(self._records),
            "sharpness": dict(self._sharpness),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.steps = state["steps"]
        # JSON knows only text as keys.
        self._losses = {int(step): loss for step, loss in state["losses"].items()}
        self._records = {int(step): dict(record) for step, record in state["records"].items()}
        self._sharpness = {int(step): value for step, value in state["sharpness"].items()}

    def _record(self) -> dict[str, float] | None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if distributed and torch.distributed.get_rank() != 0:
            return None
        self._numbers()
        record: dict[str, dict[str, float]] = {}
        for name, layer in self.features().items():
            try:
                measured = self._sparsity(layer)
            except ValueError as error:
                if bool(torch.isfinite(layer.features).all()):
                    raise
                if name not in self._warned:
                    warnings.warn(f"layer {name!r}: {error}", RuntimeWarning, stacklevel=3)
                self._warned.add(name)
                record[name] = dict.fromkeys(_RECORDED, np.nan)
            else:
                record[name] = {measure: float(getattr(measured, measure)) for measure in _RECORDED}
        self._records[self.steps] = record
        scalars = {
            f"{measure}/{name}": values[measure]
            for name, values in record.items()
            for measure in MEASURES
        }
        if self.loss_function is not None:
            hessian = Hessian(self.model, self.loss_function, take(self.batches, 128))
            found = largest_eigenvalues(hessian, tolerance=0.01, seed=self.seed)
            scalars["sharpness"] = self._sharpness[self.steps] = float(found.values[0])
        for logger in self.loggers:
            logger(self.steps, scalars)
        return scalars

    def _sparsity(self, layer: Layer) -> FeatureSparsity:
        return sparsity(layer, self.correlation_threshold, self.smooth_threshold)

    def _numbers(self) -> dict[int, float]:
        """Return the losses by step, read from the device all at once."""
        waiting = {step: loss for step, loss in self._losses.items() if isinstance(loss, Tensor)}
        if waiting:
            numbers = torch.stack(list(waiting.values())).tolist()
            self._losses.update(zip(waiting, numbers, strict=True))
        return {step: float(loss) for step, loss in self._losses.items()}
