"""A probe in Lightning's training loop."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from largestep.deep.probe import Probe

__all__ = ["ProbeCallback"]


class ProbeCallback(Callback):
    """Steps a probe with the optimizer, logs to the trainer's loggers, is kept in checkpoints.

    Parameters
    ----------
    probe : of the `LightningModule`, or of a network in it.
    """

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count a step if the optimizer took one: gradients may be accumulated over batches."""
        if trainer.global_step <= self.probe.steps:
            return
        scalars = self.probe.step(outputs["loss"] if isinstance(outputs, dict) else outputs)
        if scalars is not None:
            for logger in trainer.loggers:
                logger.log_metrics(scalars, step=self.probe.steps)

    def state_dict(self) -> dict[str, Any]:
        """Return what the probe recorded."""
        return self.probe.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.probe.load_state_dict(state_dict)
