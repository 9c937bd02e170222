"""A probe in the training loop of Hugging Face's `Trainer`."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from largestep.deep.probe import Probe

__all__ = ["ProbeCallback"]


class ProbeCallback(TrainerCallback):
    """Steps a probe with the optimizer and adds what it measures to the trainer's history.

    The losses it records are those that the trainer logs, means over `logging_steps`.

    Parameters
    ----------
    probe : of the model that is trained.
    """

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Count from where a checkpoint was resumed."""
        self.probe.steps = max(self.probe.steps, state.global_step)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Count a step."""
        scalars = self.probe.step()
        if scalars is not None:
            state.log_history.append({"step": self.probe.steps, **scalars})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record the loss."""
        if logs is not None and "loss" in logs:
            self.probe.record_loss(logs["loss"])
