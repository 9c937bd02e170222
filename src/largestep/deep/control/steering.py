"""What controllers share: an optimizer whose step size is set from one place."""

import warnings
from typing import Any

import torch

from largestep import _checks

__all__ = ["Steering"]

_RANGE = 1e6
"""How far the step size can get from the optimizer's own, as a factor."""


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

    def get_last_lr(self) -> list[float]:
        """Return the step size of every parameter group, as set for the next step."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def set(self, step_size: float) -> None:
        """Set the next step's size, within the bounds."""
        low, high = self.bounds
        self.step_size = min(max(step_size, low), high)
        for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
            group["lr"] = self.step_size * ratio

    def overrule(self) -> None:
        """See before a step that nobody else has set its size or added parameters.

        Raises
        ------
        RuntimeError
            If the optimizer has other parameter groups than it had.
        """
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
