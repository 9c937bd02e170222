"""A probe and a controller of the step size in Lightning's training loop."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from largestep.deep._untouched import untouched
from largestep.deep.control.base import Controller, MakeController, made
from largestep.deep.probe import Probe

__all__ = ["ControllerCallback", "ProbeCallback"]


class _WithSteps(Callback):
    """Hears of the optimizer's steps, whatever accumulates gradients or optimises by hand."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from where a checkpoint was resumed."""
        self._steps = trainer.global_step
        self._losses: list[Tensor] = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the loss, and count a step if the optimizer took one since the last batch."""
        loss = _loss(outputs)
        if loss is not None:
            # Lightning has divided it, so that what is accumulated is a mean.
            parts = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            self._losses.append(loss.detach() * parts)
        if trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        losses, self._losses = self._losses, []
        self.on_step(trainer, sum(losses) / len(losses) if losses else None)

    def on_step(self, trainer: Trainer, loss: Any) -> None:
        """Take notice of a step, and of the mean loss of its batches, None if there is none."""
        raise NotImplementedError


def _loss(outputs: Any) -> Tensor | None:
    """Return the loss among what a training step has returned."""
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    return loss if isinstance(loss, Tensor) and loss.numel() == 1 else None


class ProbeCallback(_WithSteps):
    """Steps a probe with the optimizer, logs to the trainer's loggers, is kept in checkpoints.

    With several optimizers a batch in which any of them steps is one step.

    Parameters
    ----------
    probe : of the `LightningModule`, or of a network in it.
    """

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def on_step(self, trainer: Trainer, loss: Any) -> None:
        """Step the probe."""
        scalars = self.probe.step(loss)
        if scalars is not None:
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step=self.probe.steps)

    def state_dict(self) -> dict[str, Any]:
        """Return what the probe recorded."""
        return self.probe.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.probe.load_state_dict(state_dict)


class ControllerCallback(_WithSteps):
    """Makes a controller of the step size for the trainer's optimizer, and steps it.

    It is kept in checkpoints. The module needs no scheduler of its own. What a controller computes
    anew is `training_step`, without a trace and without logging.

    Parameters
    ----------
    make : the controller of an optimizer for so many steps, such as `deep.LossStabilization`, or
        `deep.HoldEdge`, but not of a module that optimises by hand: there `training_step` takes the
        steps itself, and should call the controller itself.

    Raises
    ------
    ValueError
        If the module has not one optimizer, or nothing says how many steps it is trained for.
    """

    controller: Controller

    def __init__(self, make: MakeController) -> None:
        self.make = make
        self._state: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the controller, as it was in the checkpoint."""
        super().on_train_start(trainer, pl_module)
        self._parts: list[tuple[Any, int]] = []
        steps = trainer.estimated_stepping_batches
        if len(trainer.optimizers) != 1:
            raise ValueError(
                f"the module must have one optimizer, got {len(trainer.optimizers)}: make a "
                "controller of each, and call it in training_step"
            )
        if not 0 < steps < float("inf"):
            raise ValueError(
                f"the trainer must know for how many steps it trains, got {steps}: "
                "give it max_steps"
            )
        self.controller = made(self.make, trainer.optimizers[0], int(steps), pl_module)
        if self._state is not None:
            self.controller.load_state_dict(self._state)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the batch."""
        self._parts.append((batch, batch_idx))
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_step(self, trainer: Trainer, loss: Any) -> None:
        """Step the controller.

        Raises
        ------
        TypeError
            If `training_step` has returned no loss.
        """
        if loss is None:
            raise TypeError("a controller needs the loss: return it from training_step")
        parts, self._parts = self._parts, []
        module = trainer.lightning_module
        self.controller.step(
            loss, _again(trainer, parts) if module.automatic_optimization else None
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the controller's state."""
        return self.controller.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a checkpoint's state until the controller is made."""
        self._state = state_dict


def _again(trainer: Trainer, parts: list[tuple[Any, int]]) -> Callable[[], Tensor]:
    """Return what computes the mean loss of batches anew."""
    module = trainer.lightning_module
    count = len(inspect.signature(module.training_step).parameters)

    def again() -> Tensor:
        with untouched(module):
            module.log = _nothing
            outputs = [trainer.strategy.training_step(*part[:count]) for part in parts]
        losses = [loss for loss in map(_loss, outputs) if loss is not None]
        return sum(losses[1:], losses[0]) / len(losses)

    return again


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Log nothing."""
