"""A probe and a controller of the step size in the training loop of Hugging Face's `Trainer`."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from largestep import _files
from largestep.deep._untouched import untouched
from largestep.deep.control.base import Controller, MakeController, made
from largestep.deep.probe import Probe

__all__ = ["ControllerCallback", "ProbeCallback"]


class _Kept(TrainerCallback):
    """Is kept in the trainer's checkpoints, in a file of its own, and hears of its losses."""

    name: str
    """Of the attribute that is kept, and of its file."""

    def __init__(self, trainer: Trainer | None) -> None:
        self.trainer = trainer
        self._losses: list[Tensor] = []
        if trainer is not None:
            self._listen(trainer)

    def _listen(self, trainer: Trainer) -> None:
        """Note what the trainer's steps return: parts that add up to the loss of the batch."""
        inner = trainer.training_step

        def training_step(*args: Any, **kwargs: Any) -> Tensor:
            loss: Tensor = inner(*args, **kwargs)
            self._losses.append(loss.detach())
            return loss

        trainer.training_step = training_step  # type: ignore[method-assign]

    def loss(self) -> Any:
        """Return the loss of the last step, None if it is not known."""
        losses, self._losses = self._losses, []
        return sum(losses) if losses else None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of what is kept."""
        state: dict[str, Any] = getattr(self, self.name).state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        getattr(self, self.name).load_state_dict(state)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Go on from the checkpoint that was resumed."""
        self._losses.clear()
        if state.global_step == 0:
            return
        path = _checkpoint(args, state) / f"{self.name}.pt"
        if path.is_file():
            self.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            return
        warnings.warn(
            f"there is no {path}: what {type(self).__name__} knew of the {state.global_step} steps "
            "before is lost",
            RuntimeWarning,
            stacklevel=2,
        )

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Write the state into the checkpoint."""
        folder = _checkpoint(args, state)
        if state.is_world_process_zero and folder.is_dir():
            _files.atomically(folder / f"{self.name}.pt", partial(torch.save, self.state_dict()))


class ProbeCallback(_Kept):
    """Steps a probe with the optimizer, adds to the trainer's history, is kept in checkpoints.

    Parameters
    ----------
    probe : of the model that is trained.
    trainer : that trains it. With it what is measured goes through `trainer.log`, to TensorBoard,
        W&B and whatever else it reports to, and the loss of every step is recorded; without it
        only into the history, and the losses recorded are those logged, means over
        `logging_steps`. A trainer has to be there first:
        ``trainer.add_callback(ProbeCallback(probe, trainer))``.
    """

    name = "probe"

    def __init__(self, probe: Probe, trainer: Trainer | None = None) -> None:
        super().__init__(trainer)
        self.probe = probe

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Go on from the checkpoint that was resumed."""
        super().on_train_begin(args, state, control, **kwargs)
        self.probe.steps = max(self.probe.steps, state.global_step)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Count a step."""
        scalars = self.probe.step(self.loss())
        if scalars is None:
            return
        if self.trainer is None:
            state.log_history.append({"step": self.probe.steps, **scalars})
        else:
            due = control.should_log
            self.trainer.log(dict(scalars))
            control.should_log = due  # the loss still has to be logged

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record the loss, if that of each step is not known."""
        if self.trainer is None and logs is not None and "loss" in logs:
            self.probe.record_loss(logs["loss"])


class ControllerCallback(_Kept):
    """Makes a controller of the step size for the trainer's optimizer, and steps it.

    It is kept in checkpoints. What the trainer's own scheduler sets is put back, without a word,
    as every trainer has one.

    Parameters
    ----------
    make : the controller of an optimizer for so many steps, such as `deep.HoldEdge`.
    trainer : ``trainer.add_callback(ControllerCallback(HoldEdge, trainer))``. For
        `deep.LossStabilization` make it with
        ``optimizers=(torch.optim.SGD(model.parameters(), lr=0.1), None)`` and
        ``max_grad_norm=0.0``, since that shortens the gradients itself.
    """

    name = "controller"
    controller: Controller

    def __init__(self, make: MakeController, trainer: Trainer) -> None:
        self._calls: list[tuple[Callable[[], Tensor], Tensor]] = []
        self._parts: list[tuple[Callable[[], Tensor], Tensor]] = []
        super().__init__(trainer)
        self.make = make

    def _listen(self, trainer: Trainer) -> None:
        """Note too what computes each part of the loss anew, and as what share it counts."""
        super()._listen(trainer)
        compute, take_step = trainer.compute_loss, trainer.training_step

        def compute_loss(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            call = partial(compute, model, dict(inputs), *args, **kwargs)
            loss = compute(model, inputs, *args, **kwargs)
            if isinstance(loss, Tensor):
                self._calls.append((call, loss.detach()))
            return loss

        def training_step(*args: Any, **kwargs: Any) -> Tensor:
            self._calls.clear()
            loss = take_step(*args, **kwargs)
            self._parts += [
                (call, (loss.detach() / alone).nan_to_num(1.0)) for call, alone in self._calls
            ]
            self._calls.clear()
            return loss

        trainer.compute_loss = compute_loss  # type: ignore[method-assign]
        trainer.training_step = training_step  # type: ignore[method-assign]

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Make the controller, as it was in the checkpoint that was resumed."""
        self.controller = made(self.make, kwargs["optimizer"], state.max_steps, kwargs["model"])
        self._parts.clear()
        super().on_train_begin(args, state, control, **kwargs)

    def on_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Note the step sizes, before the trainer's scheduler has its say."""
        self._step_sizes = [group["lr"] for group in kwargs["optimizer"].param_groups]

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Step the controller."""
        for group, size in zip(kwargs["optimizer"].param_groups, self._step_sizes, strict=True):
            group["lr"] = size
        parts, self._parts = self._parts, []
        self.controller.step(self.loss(), partial(self._again, kwargs["model"], parts))

    def _again(
        self, model: torch.nn.Module, parts: list[tuple[Callable[[], Tensor], Tensor]]
    ) -> Tensor:
        """Return the loss of the parts of a batch anew."""
        assert self.trainer is not None
        with untouched(model), self.trainer.compute_loss_context_manager():
            return sum((call() * share for call, share in parts), torch.zeros(()))


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    assert args.output_dir is not None
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"
