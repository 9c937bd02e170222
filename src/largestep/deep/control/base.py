"""What a controller is: it sees every step of an optimizer, and sets the next step's size."""

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

__all__ = ["Controller", "MakeController", "made"]


class Controller(Protocol):
    """What sets an optimizer's step size while it trains.

    It is made with the optimizer, so that it may look at gradients and parameters, before a step
    too by `optimizer.register_step_pre_hook`.
    """

    def step(
        self, loss: torch.Tensor | float, again: Callable[[], torch.Tensor] | None = None
    ) -> None:
        """Take notice of a step that the optimizer has taken.

        Parameters
        ----------
        loss : of the mini-batch whose gradient it followed, before the step.
        again : returns the loss of that mini-batch at the parameters after the step, at the cost of
            a forward pass, without a trace.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return its state, as JSON can hold it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state."""


MakeController = Callable[[torch.optim.Optimizer, int], Controller]
"""Makes the controller of an optimizer for so many steps; with the model, if it takes a `model`."""


def made(
    make: MakeController, optimizer: torch.optim.Optimizer, steps: int, model: nn.Module
) -> Controller:
    """Return the controller of an optimizer of a model for so many steps."""
    takes: dict[str, Any] = (
        {"model": model} if "model" in inspect.signature(make).parameters else {}
    )
    return make(optimizer, steps, **takes)
