"""What controllers share: an optimizer whose step size is set from one place."""

import warnings
from typing import Any

import torch
from torch import distributed

from largestep import _checks

__all__ = ["Steering", "over_processes"]

_RANGE = 1e6
"""How far the step size can get from the optimizer's own, as a factor."""
_IN_VAIN = 100
"""Calls without a step of the optimizer after which something is wrong: more than a gradient scaler
skips or an accumulation takes."""


class Steering:
    """Sets an optimizer's step size, keeps the ratios of its groups, and overrules others.

    Wrappers of the optimizer, such as accelerate's, are looked through. What another scheduler sets
    is put back before the step, with a warning.

    Attributes
    ----------
    optimizer : the one that is wrapped, if it is.
    ratios : of each group's initial step size to the largest.
    bounds : between which the step size stays.
    step_size : as set last; None before the first.

    Raises
    ------
    TypeError, ValueError
        If it is no optimizer, is steered already, or its largest step size is not positive.
    """

    def __init__(self, optimizer: Any) -> None:
        while getattr(optimizer, "optimizer", None) is not None:
            optimizer = optimizer.optimizer
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer must be of torch.optim, got {type(optimizer).__name__}")
        name = type(self).__name__
        for hook in optimizer._optimizer_step_pre_hooks.values():
            if isinstance(other := getattr(hook, "__self__", None), Steering):
                raise ValueError(
                    f"optimizer must have one {name}, got one that has a {type(other).__name__} "
                    "already: make the optimizer anew"
                )
        self.optimizer = optimizer
        initial = [float(g.setdefault("initial_lr", g["lr"])) for g in optimizer.param_groups]
        start = _checks.number("the optimizer's largest lr", max(initial), above=0.0)
        self.ratios = [step_size / start for step_size in initial]
        self.bounds = (start / _RANGE, start * _RANGE)
        self.step_size: float | None = None
        self._warned: set[str] = set()
        self._since = 0
        self._calls_in_vain = 0
        self._losses: list[torch.Tensor | float] = []

    def get_last_lr(self) -> list[float]:
        """Return the step size of every parameter group, as set for the next step."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def set(self, step_size: float) -> None:
        """Set the next step's size, within the bounds."""
        low, high = self.bounds
        self.put(min(max(step_size, low), high))

    def put(self, step_size: float) -> None:
        """Set the next step's size, beyond the bounds and to zero too."""
        self.step_size = step_size
        for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
            group["lr"] = step_size * ratio

    def noted(self, loss: torch.Tensor | float) -> list[torch.Tensor | float]:
        """Note the loss of a batch, or of a part of one.

        Returns
        -------
        list of Tensor or float
            Those noted since the optimizer's step before the last; none if it has not stepped.
        """
        self._losses.append(loss.detach().clone() if isinstance(loss, torch.Tensor) else loss)
        if self._since == 0:
            self._calls_in_vain += 1
            if self._calls_in_vain == _IN_VAIN:
                self.warn(
                    "in vain",
                    f"step(loss) was called {_IN_VAIN} times and the optimizer has not stepped: "
                    "is it the optimizer that this was made with, and not a copy?",
                )
            return []
        self._since = self._calls_in_vain = 0
        losses, self._losses = self._losses, []
        return losses

    def overrule(self) -> None:
        """See before a step that nobody else has set its size or added parameters.

        It warns too if the step before was not taken notice of.

        Raises
        ------
        RuntimeError
            If the optimizer has other parameter groups than it had.
        """
        if self._since > 0:
            self.warn(
                "alone",
                "the optimizer steps without step(loss) after it: the step size stays as it is. "
                "Call it after every optimizer.step()",
            )
        self._since += 1
        groups = self.optimizer.param_groups
        if len(groups) != len(self.ratios):
            raise RuntimeError(
                f"the optimizer had {len(self.ratios)} parameter groups when "
                f"{type(self).__name__} was made, and has {len(groups)} now: add all groups before"
            )
        if self.step_size is None:
            return
        wanted = [self.step_size * ratio for ratio in self.ratios]
        if self.get_last_lr() != wanted:
            self.warn(
                "other",
                f"something else has set the step size to {self.get_last_lr()[0]:.4g}, and is "
                f"overruled by {wanted[0]:.4g}: leave out the other scheduler",
            )
            self.set(self.step_size)

    def warn(self, fault: str, message: str) -> None:
        """Say of each fault once."""
        if fault not in self._warned:
            self._warned.add(fault)
            warnings.warn(message, RuntimeWarning, stacklevel=4)


def over_processes(value: float, device: torch.device) -> float:
    """Return the mean over the processes of a distributed training; the value itself if alone."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.all_reduce(shared)
    return float(shared) / distributed.get_world_size()
