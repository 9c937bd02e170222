"""A step size for PyTorch that holds the training loss on a plateau, then decays."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils import get_total_norm

from largestep import _checks
from largestep.deep.control.steering import Steering, over_processes

__all__ = ["LossStabilization"]

_MEMORY = 20
"""Steps over which the loss is averaged: a few, as each moves the step size only a little."""
_CAP = 10.0
"""The most that one loss counts, in targets: a spike is forgotten within some 50 steps."""
_RISE, _FALL = 10.0, 3.0
"""By how many powers of e the step size can rise or fall during the whole phase."""


class LossStabilization(Steering):
    """Steer an SGD optimiser's step size: hold the training loss at a level, then decay.

    The rule.

    - No step is longer than ``length`` times the norm ‖θ₀‖ of all parameters at the start: a longer
      one is shortened, direction kept, before the optimiser takes it.
    - The first step has just that length, η₁ = length · ‖θ₀‖/‖g₁‖, with g the mini-batch gradient.
    - During the fraction `hold` of training, after each step,
      η ← η · exp(gain · max(1 − ℓ/target, −0.3)). ℓ is a running mean over 20 steps of the loss,
      in which no loss counts for more than 10 targets, and gain = 10/(steps held). So η rises
      while the loss is below the target, by at most e¹⁰ over the phase, and falls more gently
      while it is above, by at most e³.
    - After it η is constant: the geometric mean of the second half of the phase over `divisor`.

    Steps of bounded length are what makes it safe. They leave a flat start, where the gradient
    is small, at once; when the gradient bursts, or η has grown far, they neither diverge nor throw
    all units out of the data (a collapse). A relative length has no units: nothing has to be known
    of the network or the loss. With momentum μ lengths and η carry a factor 1 − μ, so that
    the limit holds for steps that add up. Weight decay is added to what has been shortened.

    It is largestep's own, not the paper's, and the mini-batch form of `dynamics.HoldLoss`, whose
    two parts (the step as a number without units, a cap) it keeps. What was measured, and where
    the loss stays below the target, is on the page "A step size that holds".

    Parameters
    ----------
    optimizer : ``torch.optim.SGD``, with or without momentum. Every group's step size is η times
        the ratio of its own initial one to the largest; the size of these hardly matters, as η
        only stays within a factor 10⁶ of the largest.
    steps : optimiser steps of the whole training.
    target : level to hold, in units of the loss; by default a tenth of the first loss. Give
        ``0.1 * math.log(classes)`` where cross-entropy starts far above log(classes).
    hold : fraction of training spent holding.
    divisor : by how much the step size falls after that.
    length : the longest step, relative to the norm of the parameters.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, the optimiser is not SGD or steered already, or all
        parameters are zero.

    Notes
    -----
    Call ``step(loss)`` after ``optimizer.step()``, whose gradients it shortens in a hook; do not
    clip them as well. Reading the loss waits for the device, once a step; pass a float
    if the loop has it already. Of several processes it takes the mean of their losses. With
    gradients accumulated call it once per optimiser step, or with each part of the batch: without a
    step of the optimiser since the last call the loss is only noted, and the mean of those noted
    counts. A closure's gradients are shortened when it has computed them. Wrappers of the
    optimiser, accelerate's and Lightning's, are looked through. `deep.lightning` and
    `deep.transformers` have callbacks that call it.

    The step size is its own: what another scheduler sets is overruled before the step, with a
    warning, also after the phase. It warns too when the optimiser steps without it, and at the end
    of the phase if the loss never came down to the target.

    A loss that is not finite halves the step size and is not averaged. The parameters
    that gave it are as a rule lost: go back to a checkpoint.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 2.0)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    >>> scheduler = LossStabilization(optimizer, steps=400)
    >>> for _ in range(400):
    ...     loss = (model(torch.ones(1, 1)) ** 2).mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     scheduler.step(loss)
    >>> model.weight.abs().item() < 0.01
    True
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        steps: int,
        *,
        target: float | None = None,
        hold: float = 0.5,
        divisor: float = 10.0,
        length: float = 0.1,
    ) -> None:
        super().__init__(optimizer)
        if not isinstance(self.optimizer, torch.optim.SGD):
            raise TypeError(
                f"optimizer must be torch.optim.SGD, got {type(self.optimizer).__name__}: "
                "others do not step along the gradient"
            )
        groups = self.optimizer.param_groups
        steps = _checks.integer("steps", steps, at_least=1)
        hold = _checks.number("hold", hold, above=0.0, at_most=1.0)
        length = _checks.number("length", length, above=0.0)
        self.held = math.ceil(hold * steps)
        self.divisor = _checks.number("divisor", divisor, above=0.0)
        self.target = target if target is None else _checks.number("target", target, above=0.0)
        momentum = max(float(group["momentum"]) for group in groups)
        share = 1.0 - _checks.number("momentum", momentum, at_least=0.0, at_most=1.0)
        parameters = [p.detach() for group in groups for p in group["params"]]
        self.longest = share * length * float(get_total_norm(parameters))
        if not 0.0 < self.longest < math.inf:
            raise ValueError(
                "length · ‖parameters‖ · (1 − momentum) must be positive and finite, got "
                f"{self.longest}"
            )
        self.taken = 0
        self.level = 1.0
        self.lowest = _CAP
        self.logarithms = 0.0
        self.optimizer.register_step_pre_hook(self._before_step)

    def step(
        self, loss: torch.Tensor | float, again: Callable[[], torch.Tensor] | None = None
    ) -> None:
        """Set the next step's size.

        Parameters
        ----------
        loss : the mini-batch loss whose gradient the optimiser has just followed, a scalar.
        again : not used; see `Controller`.
        """
        losses = self.noted(loss)
        if not losses:
            return
        loss = sum(map(float, losses)) / len(losses)
        loss = over_processes(loss, self.optimizer.param_groups[0]["params"][0].device)
        self.taken += 1
        if self.step_size is None or self.taken > self.held:
            return
        if self.target is None and 0.0 < loss / 10.0 < math.inf:
            self.target = loss / 10.0
        factor = 0.5
        if self.target is not None and math.isfinite(loss):
            seen = min(max(loss / self.target, 0.0), _CAP)
            self.level += ((seen - self.level) / _MEMORY) if self.taken > 1 else seen - self.level
            self.lowest = min(self.lowest, self.level)
            factor = math.exp(max(_RISE * (1.0 - self.level), -_FALL) / self.held)
        self.set(self.step_size * factor)
        if 2 * self.taken > self.held:
            self.logarithms += math.log(self.step_size)
        if self.taken == self.held:
            long = self.held >= 5 * _MEMORY  # enough to have come down
            if long and self.target is not None and self.lowest > 1.0:
                self.warn(
                    "target",
                    f"the loss never came down to the target {self.target:.4g} while it was to be "
                    f"held: its mean over {_MEMORY} steps was {self.lowest * self.target:.4g} at "
                    "best, so that the step size fell all the time; give a higher target",
                )
            late = self.held - self.held // 2
            self.set(math.exp(self.logarithms / late) / self.divisor)

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes during training, as numbers that JSON keeps exactly."""
        names = ("taken", "step_size", "target", "level", "lowest", "logarithms", "longest")
        return {name: getattr(self, name) for name in names} | {"lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a state; further steps are then the same to the last bit."""
        state = dict(state_dict)
        step_sizes = state.pop("lr", [])
        if set(state) != set(self.state_dict()) - {"lr"} or len(step_sizes) != len(self.ratios):
            raise ValueError("the state is not one of a LossStabilization of as many groups")
        vars(self).update(state)
        for group, step_size in zip(self.optimizer.param_groups, step_sizes, strict=True):
            group["lr"] = step_size

    def _before_step(
        self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Bound the coming step, now or when the closure has computed its gradients."""
        self.overrule()
        if getattr(optimizer, "grad_scale", None) is not None:
            raise RuntimeError("call scaler.unscale_(optimizer) first: its gradients are scaled")
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._shorten()
            return None

        def shortened() -> Any:
            loss = closure()
            self._shorten()
            return loss

        return (args[0], shortened), {}

    @torch.no_grad()
    def _shorten(self) -> None:
        """Shorten the gradients; on the device, without waiting for it but at the first."""
        gradients = [
            [p.grad for p in group["params"] if p.grad is not None]
            for group in self.optimizer.param_groups
        ]
        if not any(gradients):
            return
        norms = zip(map(get_total_norm, gradients), self.ratios, strict=True)
        norm = get_total_norm([norm * ratio for norm, ratio in norms])
        if self.step_size is None:
            first = float(norm)
            usable = 0.0 < first < math.inf
            self.set(self.longest / first if usable else max(self.get_last_lr()))
        assert self.step_size is not None
        # Not by clip_grads_with_norm_: the 1e-6 it adds to the norm would stop a flat start.
        share = (self.longest / self.step_size / norm).clamp(max=1.0)
        torch._foreach_mul_([gradient for group in gradients for gradient in group], share)
