"""A training run at one of its steps: all that changes, and how a step changes it.

All that is random is a pure function of the seed and the step: the order of the examples, their
augmentation, the noise on their labels. A checkpoint therefore needs no random state, and a run
that is taken up again visits what it would have visited.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

import largestep
from largestep.deep import models
from largestep.deep._untouched import untouched
from largestep.deep.control.base import Controller, made
from largestep.deep.data.dataset import Examples, augment, permutation
from largestep.deep.training import optimizers
from largestep.deep.training.evaluation import Evaluations, autocast
from largestep.deep.training.processes import Place, memory_format
from largestep.deep.training.settings import Training, check_suits, configuration
from largestep.schedules import Schedule, as_schedule

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["LOSS_BOUND", "Run", "Trained", "redraw"]

LOSS_BOUND = 1e6
"""A run whose mini-batch loss goes beyond this, or is not finite, has diverged."""
_PURPOSES = ("augmentation", "labels")


@dataclass(frozen=True, eq=False)
class Trained:
    """What training gives.

    Attributes
    ----------
    model : the network after the last step, in evaluation mode, on the training device.
    averaged : the one with averaged weights, where that was asked for.
    results : dataset with dimensions `step` (evaluations) and `layer` (stages), as
        `Evaluations` fills it, and two scalars, NaN where it did not happen: `diverged_at`, the
        steps completed before the mini-batch whose loss was not finite or beyond `LOSS_BOUND`,
        which ended the run; and `collapsed_at`, the first evaluation from which on all outputs
        were the same for all inputs, as when every unit of the last stage is dead.
    """

    model: nn.Module
    averaged: nn.Module | None
    results: xr.Dataset


class Run:
    """A run at one of its steps: all that changes, and how a step changes it."""

    def __init__(self, settings: Training, data: Examples, place: Place) -> None:
        check_suits(settings, data)
        self.settings, self.place = settings, place
        self.steps = settings.steps(len(data.x_train))
        if settings.batch_size % place.processes:
            raise ValueError(
                f"batch_size must be a multiple of the number of processes, {place.processes}, "
                f"got {settings.batch_size}"
            )
        self.configuration = configuration(settings, data)
        self.data = data.to(place.device)
        model = models.build(
            settings.model,
            data.classes,
            settings.seed,
            **data.size,
            **settings.model_settings,
        )
        self.model = place.settle(model)
        self.memory_format = memory_format(model, place.device)
        self.averaged = copy.deepcopy(self.model) if settings.averaging else None
        self._average = get_ema_multi_avg_fn(settings.averaging or 0.0)  # type: ignore[no-untyped-call]
        self.forward = place.parallel(self.model)
        if settings.compile:
            self.forward = torch.compile(self.forward)  # type: ignore[assignment]
        self.optimizer = optimizers.build(
            settings.optimizer, settings.optimizer_settings, self.model.parameters()
        )
        self.controller: Controller | None = None
        if isinstance(settings.step_size, Schedule | int | float):
            schedule = as_schedule(settings.step_size)
            self.step_sizes = schedule(np.arange(self.steps) / self.steps)
            self.step_size = float(self.step_sizes[0])
        else:
            self.controller = made(settings.step_size, self.optimizer, self.steps, self.model)
        self.evaluations = Evaluations(
            settings, self.data, self.model, self.steps, self.memory_format
        )
        self.step = 0
        self.losses = torch.full((self.steps,), torch.nan, device=place.device)
        self.diverged_at = self.collapsed_at = math.nan
        self._seen = 0
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self._generator = torch.Generator(place.device)

    @property
    def step_size(self) -> float:
        """The optimizer's step size."""
        return float(self.optimizer.param_groups[0]["lr"])

    @step_size.setter
    def step_size(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def take_step(self) -> None:
        """Take one step of the optimizer."""
        if self.controller is None:
            self.step_size = float(self.step_sizes[self.step])
        inputs, labels = self._batch()

        def of_batch() -> torch.Tensor:
            with autocast(self.settings.precision, self.place.device):
                # PyTorch wants the classes second, which of sequences are last.
                return functional.cross_entropy(self.forward(inputs).movedim(-1, 1), labels)

        def again() -> torch.Tensor:
            with torch.no_grad(), untouched(self.model):
                return self.place.mean(of_batch())

        loss = of_batch()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        loss = self.place.mean(loss.detach())
        if self.controller is not None:
            self.controller.step(loss, again)
        if self.averaged is not None:
            parameters = list(self.averaged.parameters()), list(self.model.parameters())
            self._average(*parameters, None)
        self.losses[self.step] = loss
        self.step += 1
        # To look at a loss is to wait for the GPU.
        if self.place.device.type == "cpu" or self.step % 50 == 0:
            self._look()

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return this process's share of the step's batch. All of it is drawn by every process."""
        settings, data = self.settings, self.data
        epoch, number = divmod(self.step, self.steps // settings.epochs)
        if epoch != self._epoch:
            order = permutation(len(data.x_train), settings.seed, epoch)
            self._epoch, self._order = epoch, order.to(self.place.device)
        chosen = self._order[number * settings.batch_size : (number + 1) * settings.batch_size]
        inputs, labels = data.x_train[chosen], data.y_train[chosen]
        if settings.augment:
            crops = settings.augment == "crops"
            inputs = augment(
                inputs,
                self._stream("augmentation"),
                padding=inputs.shape[-1] // 8 if crops else 4,
                flips=not crops,
            )
        if settings.label_noise:
            labels = redraw(labels, settings.label_noise, data.classes, self._stream("labels"))
        inputs, labels = self.place.share(inputs), self.place.share(labels)
        return data.normalise(inputs).contiguous(memory_format=self.memory_format), labels

    def _stream(self, purpose: str) -> torch.Generator:
        """Return the generator for one purpose in this step."""
        key = (_PURPOSES.index(purpose), self.step)
        sequence = np.random.SeedSequence(self.settings.seed, spawn_key=key)
        return self._generator.manual_seed(int(sequence.generate_state(1)[0]))

    def _look(self) -> None:
        """See whether the run has diverged."""
        bad = ~(self.losses[self._seen : self.step].abs() <= LOSS_BOUND)
        if math.isnan(self.diverged_at) and bad.any():
            self.diverged_at = float(self._seen + bad.int().argmax())
        self._seen = self.step

    def evaluate(self, board: "SummaryWriter | None") -> None:
        """Record the row of this step, unless the run has diverged."""
        self._look()
        finite = all(bool(p.isfinite().all()) for p in self.model.parameters())
        if not finite and math.isnan(self.diverged_at):
            self.diverged_at = float(self.step)
        if not math.isnan(self.diverged_at):
            return
        collapsed = self.evaluations.record(
            self.step, self.model, self.averaged, self.step_size, self.losses
        )
        if not collapsed or self.step == 0:
            self.collapsed_at = math.nan
        elif math.isnan(self.collapsed_at):
            self.collapsed_at = float(self.step)
        if board is not None:
            for name, value in self.evaluations.scalars(self.step).items():
                board.add_scalar(name, value, self.step)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of a checkpoint."""
        tensors = _prefixed("model", self.model.state_dict())
        if self.averaged is not None:
            tensors |= _prefixed("averaged", self.averaged.state_dict())
        held = optimizers.tensors(self.optimizer, self.model.named_parameters())
        tensors |= _prefixed("optimizer", held)
        return {**tensors, "losses": self.losses}

    def state(self) -> dict[str, Any]:
        """Return the rest of a checkpoint."""
        return {
            "configuration": self.configuration,
            "environment": self.place.environment(),
            "step": self.step,
            "step_size": self.step_size,
            "optimizer": optimizers.numbers(self.optimizer, self.model.named_parameters()),
            "evaluations": self.evaluations.state_dict(),
            "controller": None if self.controller is None else self.controller.state_dict(),
            "diverged_at": self.diverged_at,
            "collapsed_at": self.collapsed_at,
        }

    def restore(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Become the run that a checkpoint holds."""
        self.model.load_state_dict(_below("model", tensors))
        if self.averaged is not None:
            self.averaged.load_state_dict(_below("averaged", tensors))
        held = {**_below("optimizer", tensors), **state["optimizer"]}
        optimizers.restore(self.optimizer, self.model.named_parameters(), held)
        self.evaluations.load_state_dict(state["evaluations"])
        self.losses.copy_(tensors["losses"])
        self.step, self.step_size = state["step"], state["step_size"]
        if self.controller is not None:
            self.controller.load_state_dict(state["controller"])
        self.diverged_at, self.collapsed_at = state["diverged_at"], state["collapsed_at"]

    def trained(self) -> Trained:
        """Return what the run has given."""
        results = self.evaluations.dataset()
        for name, text in (
            ("diverged_at", "steps completed before the divergence"),
            ("collapsed_at", "steps completed at the first evaluation of a collapsed network"),
        ):
            attributes = {"long_name": text, "units": "steps"}
            results[name] = xr.DataArray(getattr(self, name), attrs=attributes)
        results.attrs.update(
            settings=json.dumps(self.configuration["settings"], ensure_ascii=False),
            data=json.dumps(self.configuration["data"], ensure_ascii=False),
            steps=self.steps,
            largestep=largestep.__version__,
        )
        averaged = None if self.averaged is None else self.averaged.eval()
        return Trained(self.model.eval(), averaged, results)


def redraw(
    labels: torch.Tensor, probability: float, classes: int, generator: torch.Generator
) -> torch.Tensor:
    """Return the labels, each redrawn uniformly over the classes with the probability."""
    chance = torch.rand(labels.shape, generator=generator, device=labels.device)
    drawn = torch.randint(classes, labels.shape, generator=generator, device=labels.device)
    return torch.where(chance < probability, drawn, labels)


def _prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
