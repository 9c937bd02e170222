"""Watching a model while it trains."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from largestep import _checks, _files, metrics
from largestep.deep._held import Held
from largestep.deep._untouched import untouched, unwrapped
from largestep.deep.batches import Batch, fingerprint, take
from largestep.deep.features import Layer, Layers, Units, gather
from largestep.deep.measures.base import LossFunction, Measure, Subject
from largestep.deep.measures.record import Record, together
from largestep.deep.measures.sharpness import Sharpness
from largestep.deep.measures.sparsity import Sparsity
from largestep.diagnosis import Diagnosis, diagnose
from largestep.metrics import Plateau

__all__ = ["Logger", "Probe"]

_EVERY = 100
"""Steps between two measurements, at the least, where nothing else is said."""
_SHARE = 0.04
"""The share of the training's time that measurements may then take."""

Logger = Callable[[int, Mapping[str, float]], Any]
"""Takes a step and the scalars measured there, by name."""


class Probe:
    """Measures a model every so many steps of its training: how sparse its features are, and more.

    The model is run on inputs of its own, and nothing of it changes: neither its mode, buffers and
    gradients, nor what it builds, registers or collects in `forward`, nor any random state, so that
    training goes on bit for bit as it would without the probe. (What `forward` changes outside of
    the model, such as a global variable, is not seen.) It is measured once when the probe is made,
    as step 0.

    In training by several processes, one probe in each, the first process measures.

    Parameters
    ----------
    model : any module; compiled, data-parallel and distributed wrappers are looked through.
    batches : where the inputs come from: tensors, (input, …) tuples or dictionaries, such as a
        `DataLoader` gives. The first `max_inputs` inputs are taken once and kept.
    layers : whose features to gather: "auto", names, patterns or functions, as `features.gather`
        explains.
    measures : what to measure, such as `deep.measures` has; by default `Sparsity`, and
        `Sharpness` if there is a loss function.
    every : steps between measurements, for the measures that do not say it themselves. By default
        100, or 200, 400, … if otherwise measuring would take more than a twenty-fifth of the
        training's time, which is told from the last measurement and the steps so far. Give it where
        two trainings are to be measured at the same steps whatever else their machine does.
    units : "position" counts each channel at each position as a unit, as in the paper; "channel"
        each channel.
    max_inputs : inputs to measure at, and the most rows if units are channels.
    max_units : the most units of a layer; beyond them a random subset, the same at every step,
        stands for all.
    loss_function : of outputs and targets, a mean over the batch, for the measures that need one.
        Batches must then be (inputs, targets), or dictionaries with "labels".
    forward : how to run the model on a batch, (model, batch) → anything; see `features.gather`.
    loggers : called with the step and the scalars after every measurement.
    seed : fixes the subsets.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, there are no inputs, a layer matches nothing, a measure
        needs what is not there, two measures give something under one name, or the model holds
        what cannot be put back.

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
        measures: Sequence[Measure] | None = None,
        every: int | None = None,
        units: Units = "position",
        max_inputs: int = 1024,
        max_units: int = 1000,
        loss_function: LossFunction | None = None,
        forward: Callable[[nn.Module, Batch], Any] | None = None,
        loggers: Sequence[Logger] = (),
        seed: int = 0,
    ) -> None:
        self.model = unwrapped(model)
        Held(self.model)  # what cannot be put back is refused before anything is read
        self.layers = layers
        self.every = _EVERY if every is None else _checks.integer("every", every, at_least=1)
        self._pace = _Pace() if every is None else None
        self.units: Units = units
        self.max_inputs = _checks.integer("max_inputs", max_inputs, at_least=1)
        self.max_units = _checks.integer("max_units", max_units, at_least=1)
        self.loss_function = loss_function
        self.forward = forward
        self.loggers = list(loggers)
        self.seed = _checks.integer("seed", seed, at_least=0)
        self.batches = take(batches, self.max_inputs)
        if measures is None:
            measures = [Sparsity()] if loss_function is None else [Sparsity(), Sharpness()]
        self.measures = _usable(measures, self.batches, loss_function)
        self.steps = 0
        self._losses: dict[int, float | Tensor] = {}
        self._record = Record(together((type(m).__name__, m.quantities) for m in self.measures))
        if self._measures_here():
            subject = self._subject()
            for measure in self.measures:
                with untouched(self.model):
                    measure.start(subject)
            self._take(self.measures, subject)

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

    def measure(self) -> xr.Dataset:
        """Return what is measured now, along the layers; nothing is recorded."""
        record = Record(self._record.quantities)
        subject = self._subject()
        for measure in self.measures:
            kept = measure.state_dict()
            with untouched(self.model):
                record.add(self.steps, measure.measure(subject))
            measure.load_state_dict(kept)  # what compares with the last measurement
        return record.dataset().isel(step=0)

    def step(self, loss: float | Tensor | None = None) -> dict[str, float] | None:
        """Count a step of training, and measure what it is time for.

        Parameters
        ----------
        loss : the training loss of the step, for `plateau` and the dataset.

        Returns
        -------
        The scalars by name if anything was measured, otherwise None.
        """
        self.steps += 1
        if loss is not None:
            self.record_loss(loss)
        if self._pace is not None:
            self.every = self._pace.every(self.steps, self.every)
        due = [m for m in self.measures if self.steps % (m.every or self.every) == 0]
        if not due or not self._measures_here():
            return None
        return self._take(due, self._subject())

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

    def report(self) -> Diagnosis:
        """Return what seems wrong with the training up to now: see `largestep.diagnosis`.

        Printed, it says for each finding the evidence, the threshold and what to try, and which
        measures are missing for what could not be judged.
        """
        return diagnose(self.dataset())

    def dataset(self) -> xr.Dataset:
        """Return what was recorded.

        Returns
        -------
        Dataset with the quantities of the measures along step, and layer or another dimension of
        theirs, NaN where a measure was not due; and train_loss along loss_step.
        """
        losses = self._numbers()
        train_loss = ("loss_step", list(losses.values()), {"long_name": "training loss"})
        return (
            self._record.dataset()
            .assign(train_loss=train_loss)
            .assign_coords(loss_step=list(losses))
        )

    def save(self, path: str | Path) -> None:
        """Write the dataset to a NetCDF file, in one step."""
        dataset = self.dataset()
        _files.write_bytes(Path(path), bytes(dataset.to_netcdf(engine="h5netcdf")))

    def state_dict(self) -> dict[str, Any]:
        """Return what was recorded, for a checkpoint: plain numbers.

        A measure that remembers the start, as `Movement` does, adds tensors.
        """
        kept = {str(i): state for i, m in enumerate(self.measures) if (state := m.state_dict())}
        return {
            "steps": self.steps,
            "losses": self._numbers(),
            "records": self._record.state_dict(),
            "measures": kept,
            "inputs": fingerprint(self.batches),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises
        ------
        ValueError
            If a measure that compares with an earlier one would do so at other inputs.
        """
        if state["measures"] and state["inputs"] != fingerprint(self.batches):
            names = " and ".join(type(self.measures[int(i)]).__name__ for i in state["measures"])
            raise ValueError(
                "batches must be those of the checkpoint, the same inputs in the same order, for "
                f"{names} to compare with; got others: give them in a fixed order, as with "
                "shuffle=False"
            )
        self.steps = state["steps"]
        if self._pace is not None:
            self._pace.first = None
        # JSON knows only text as keys.
        self._losses = {int(step): loss for step, loss in state["losses"].items()}
        self._record.load_state_dict(state["records"])
        for number, kept in state["measures"].items():
            self.measures[int(number)].load_state_dict(kept)

    def _subject(self) -> Subject:
        return Subject(
            self.model,
            self.batches,
            loss_function=self.loss_function,
            forward=self.forward,
            features=self.features,
        )

    def _measures_here(self) -> bool:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        return not distributed or torch.distributed.get_rank() == 0

    def _take(self, measures: Sequence[Measure], subject: Subject) -> dict[str, float]:
        """Record what the measures give."""
        self._numbers()
        started = time.perf_counter()
        for measure in measures:
            with untouched(self.model):
                values = measure.measure(subject)
            self._record.add(self.steps, values)
        if self._pace is not None:
            own = all(measure.every is not None for measure in measures)
            self._pace.measured(time.perf_counter() - started, own_pace=own)
        scalars = self._record.scalars(self.steps)
        for logger in self.loggers:
            logger(self.steps, scalars)
        return scalars

    def _numbers(self) -> dict[int, float]:
        """Return the losses by step, read from the device all at once."""
        waiting = {step: loss for step, loss in self._losses.items() if isinstance(loss, Tensor)}
        if waiting:
            numbers = torch.stack(list(waiting.values())).tolist()
            self._losses.update(zip(waiting, numbers, strict=True))
        return {step: float(loss) for step, loss in self._losses.items()}


@dataclass
class _Pace:
    """How often to measure for it to take a small share of the training's time."""

    seconds: float = 0.0
    spent: float = 0.0
    first: tuple[int, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Begin anew in another process, whose clock is another."""
        return vars(self) | {"first": None}

    def measured(self, seconds: float, *, own_pace: bool) -> None:
        """Take notice of a measurement; of one that goes at a pace of its own, only of its time."""
        self.spent += seconds
        if not own_pace:
            self.seconds = seconds

    def every(self, step: int, every: int) -> int:
        """Return the steps between two measurements, some power of two times the least."""
        if self.first is None:
            self.first, self.spent = (step, time.perf_counter()), 0.0
        if step % _EVERY != 0 or step == self.first[0]:
            return every
        trained = time.perf_counter() - self.first[1] - self.spent
        pause = _EVERY * max(trained, 1e-9) / (step - self.first[0])
        most = self.seconds / (_SHARE * pause)
        return _EVERY * 2 ** min(max(0, math.ceil(math.log2(max(most, 1e-9)))), 20)


def _usable(
    measures: Sequence[Measure], batches: Sequence[Batch], loss_function: LossFunction | None
) -> list[Measure]:
    """Return the measures, or say which of them needs what is not there."""
    measures = list(measures)
    if not measures:
        raise ValueError("measures must hold at least one, got none")
    for measure in measures:
        if not isinstance(measure, Measure):
            hint = "; it is a class: call it" if isinstance(measure, type) else ""
            raise TypeError(f"measures must be of deep.measures.Measure, got {measure!r}{hint}")
        name = type(measure).__name__
        if measure.every is not None:
            _checks.integer(f"every of {name}", measure.every, at_least=1)
        if "loss" in measure.needs and loss_function is None:
            raise ValueError(f"{name} needs a loss: give the probe its loss_function")
        if "two batches" in measure.needs and len(batches) < 2:
            raise ValueError(f"{name} needs two batches or more, got {len(batches)}")
    return measures
