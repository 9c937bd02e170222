"""A step size for PyTorch that holds the curvature of the step itself, for any optimizer."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import get_total_norm

from largestep import _checks
from largestep.deep._untouched import random_states_restored, untouched
from largestep.deep.control.steering import Steering

__all__ = ["HoldEdge"]

_MEMORY = 10
"""Measurements over which the curvature is averaged."""
_GAIN, _MOST = 0.2, 1.0
"""Share of the logarithmic error that a measurement corrects, and the most that it may."""
_FAR = 1e300
"""What no loss has been yet: infinity, but for JSON."""
_KEPT = 10
"""Measurements between the states that a collapse or a divergence goes back to."""
_BACK = 3.0
"""By how much the step size falls then."""
_BURST = 100.0
"""A loss beyond so many times the largest of the first ones is a divergence."""
_ROUNDING = 1e-5
"""Of a loss in single precision, with room for the sums in it."""
_LEARNT, _LOST = 0.7, 0.9
"""A loss that has once been below the first share of its start, and is back above the second one,
is a collapse too: most units are dead, and the rest say the same of every input."""
_ALIVE = 0.02
"""A collapse: so small a share is left of the gradient's entries that were not exactly zero."""


class HoldEdge(Steering):
    """Steer any optimizer's step size: hold the curvature κ of its steps, then decay.

    Let Δθ be a step that the optimizer has taken on a batch, g that batch's gradient before it,
    and L, L′ the batch's loss before and after. To second order L′ = L + gᵀΔθ + ½ΔθᵀHΔθ, so

        κ = ΔθᵀHΔθ / (−gᵀΔθ),  ΔθᵀHΔθ ≈ 2(L′ − L − gᵀΔθ),

    needs one more forward pass and no Hessian. It has no units: κ = 1 is the step of least loss
    along its own direction, at κ = 2 a step makes no progress on its own batch. For SGD it is the
    step size times the batch sharpness, which along SGD settles near 2 by itself
    (Andreyev and Beneventano, 2024); for other optimizers it asks the same question.

    The rule.

    - Every `every` steps κ is measured, by running means over 10 measurements of the numerator
      over η² and of the denominator over η, which stay comparable while η moves; and
      η ← η · exp(0.2 · log(κ*/κ)), at most by a factor e.
    - No step is longer than ``length`` times the norm ‖θ₀‖ of all parameters at the start.
    - After the fraction `hold` of training η falls linearly to zero, from the geometric mean of
      the second half of the phase.
    - Where the loss is not finite, has burst, or is back where it started, or where hardly an entry
      of the gradient is not exactly zero (all units dead), the parameters and the optimizer go back
      to the last good state, and η falls to a third; `recoveries` says when and why.

    It is largestep's own. What was measured, and where not to use it, is on the page "A step size
    that holds".

    Parameters
    ----------
    optimizer : any of ``torch.optim`` but LBFGS. Every group's step size is η times the ratio of
        its own initial one to the largest; η starts from the largest, finds its way within some
        tens of measurements, and stays within a factor 10⁶ of it.
    steps : optimizer steps of the whole training; None if that is not known: then η is held
        until `decay` is called.
    model : what is trained. Its buffers and the random states are put back after the extra forward
        pass, and its buffers go back with the parameters. Leave it out only if it has neither
        batch norm nor dropout.
    kappa : κ*, the one number to turn: larger is sparser and riskier.
    hold : fraction of training spent holding.
    every : steps between measurements.
    length : the longest step, relative to the norm of the parameters.

    Attributes
    ----------
    curvature : κ as measured last, NaN before.
    recoveries : (step, what happened) of each return to an earlier state.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, the optimizer is steered already or takes several
        evaluations a step, or all parameters are zero.

    Notes
    -----
    Call ``step(loss, again)`` after ``optimizer.step()``, where ``again()`` computes the loss of
    the same batch anew; with gradients accumulated both are means over what was accumulated. The
    gradients must be those of the batch while the optimizer steps; clipping them is part of the
    step. Under a gradient scaler call ``scaler.unscale_(optimizer)`` first. Where the loss is
    random, as with dropout, a measurement takes three passes, before, half way and after the step,
    with the same random numbers.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 2.0)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    >>> controller = HoldEdge(optimizer, steps=400, model=model, kappa=0.5)
    >>> def loss_of_batch():
    ...     return (3 * model(torch.ones(1, 1)) ** 2).mean()
    >>> for _ in range(100):
    ...     loss = loss_of_batch()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     controller.step(loss, loss_of_batch)
    >>> round(controller.get_last_lr()[0], 2)  # κ = η · 6 = 0.5
    0.08
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        steps: int | None = None,
        *,
        model: nn.Module | None = None,
        kappa: float = 1.0,
        hold: float = 0.5,
        every: int = 5,
        length: float = 0.1,
    ) -> None:
        super().__init__(optimizer)
        if isinstance(self.optimizer, torch.optim.LBFGS):
            raise TypeError("optimizer must take a step from one gradient, got LBFGS")
        if model is not None and not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        hold = _checks.number("hold", hold, above=0.0, at_most=1.0)
        self.steps = steps if steps is None else _checks.integer("steps", steps, at_least=1)
        self.held = None if self.steps is None else math.ceil(hold * self.steps)
        self.model = model
        self.kappa = _checks.number("kappa", kappa, above=0.0)
        self.every = _checks.integer("every", every, at_least=1)
        self._parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        norm = float(get_total_norm([p.detach() for p in self._parameters]))
        self.longest = _checks.number("length", length, above=0.0) * norm
        if not 0.0 < self.longest < math.inf:
            raise ValueError(f"length · ‖parameters‖ must be positive, got {self.longest}")
        self.taken = 0
        self.curvature = math.nan
        self.recoveries: list[tuple[int, str]] = []
        self._means = {"numerator": 0.0, "denominator": 0.0}
        self._peak = {"logarithms": 0.0, "counted": 0.0}
        self._seen = {"largest": 0.0, "first": 0.0, "level": 0.0, "lowest": _FAR, "alive": 0.0}
        self._measured = 0
        self._random: bool | None = None
        self._before: list[torch.Tensor] = []
        self._slope: torch.Tensor | None = None
        self._share: torch.Tensor | None = None
        self._zero: torch.Tensor | None = None
        self.set(max(self.get_last_lr()))
        self._good = self._state()
        self.optimizer.register_step_pre_hook(self._before_step)
        self.optimizer.register_step_post_hook(self._after_step)

    def step(
        self, loss: torch.Tensor | float, again: Callable[[], torch.Tensor] | None = None
    ) -> None:
        """Set the next step's size.

        Parameters
        ----------
        loss : the loss of the batch whose gradient the optimizer has just followed, before the
            step.
        again : computes the loss of the same batch, now; called every few steps, without gradients.

        Raises
        ------
        TypeError
            If there is no `again`.
        """
        if again is None:
            raise TypeError("step(loss, again) needs again, which computes the batch's loss anew")
        if not self._before:
            return  # a gradient scaler has left the step out
        self.taken += 1
        if self.held is not None and self.taken > self.held:
            self._fall()
        elif self.taken % self.every == 0:
            self._measure(_number(loss), again)
        self._before = []
        if self.taken == self.held:
            self.set(self._from_the_phase())

    def decay(self, steps: int) -> None:
        """Begin the decay now: η falls linearly to zero within so many steps."""
        self.held = self.taken
        self.steps = self.taken + _checks.integer("steps", steps, at_least=1)
        self.set(self._from_the_phase())

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes during training, as numbers that JSON keeps exactly.

        The state that it would go back to is not among them: after a resumption it is the one
        resumed from.
        """
        names = ("steps", "held", "taken", "step_size", "longest", "curvature")
        state: dict[str, Any] = {name: getattr(self, name) for name in names}
        return state | {
            "recoveries": [list(r) for r in self.recoveries],
            "means": dict(self._means),
            "peak": dict(self._peak),
            "seen": dict(self._seen),
            "measured": self._measured,
            "random": self._random,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state; the parameters and the optimizer must have theirs already."""
        if set(state) != set(self.state_dict()):
            raise ValueError("the state is not one of a HoldEdge")
        for name in ("steps", "held", "taken", "longest", "curvature"):
            setattr(self, name, state[name])
        self.recoveries = [(int(step), str(what)) for step, what in state["recoveries"]]
        self._means, self._peak = dict(state["means"]), dict(state["peak"])
        self._seen, self._measured = dict(state["seen"]), state["measured"]
        self._random = state["random"]
        self.set(state["step_size"])
        self._good = self._state()

    def _measure(self, loss: float, again: Callable[[], torch.Tensor]) -> None:
        assert self.step_size is not None
        assert self._slope is not None
        assert self._zero is not None
        assert self._share is not None
        after = self._evaluated(again, seed=0)
        slope, dead = float(self._slope), float(self._zero)
        self._measured += 1
        fault = self._fault(loss, after, dead)
        if fault is not None:
            self._go_back(fault)
            return
        if abs(slope) <= _ROUNDING * abs(loss):
            if slope != 0.0:  # what the step has changed is lost in the loss's rounding
                self.set(self.step_size * math.exp(_MOST))
            return
        curved, means = self._curved(loss, after, slope, again), self._means
        # A step that was shortened is one of a smaller step size.
        taken = self.step_size * float(self._share)
        for name, value in (
            ("numerator", curved / taken**2),
            ("denominator", -slope / taken),
        ):
            means[name] += (value - means[name]) / _MEMORY
        if means["denominator"] > 0.0:
            self.curvature = self.step_size * means["numerator"] / means["denominator"]
            too_small = self.curvature <= self.kappa * math.exp(-_MOST / _GAIN)
            error = _MOST / _GAIN if too_small else math.log(self.kappa / self.curvature)
        else:
            # Steps that climb on average: they overshoot, or momentum carries them.
            self.curvature, error = math.inf, -_MOST / _GAIN
        change = min(max(_GAIN * error, -_MOST), _MOST)
        self.set(self.step_size * math.exp(change))
        if abs(change) == _MOST:
            # What was measured so far from the edge says little of it; rounding weighs most there.
            self._means = dict.fromkeys(means, 0.0)
        if self.held is None or 2 * self.taken > self.held:
            self._peak["logarithms"] += math.log(self.step_size)
            self._peak["counted"] += 1.0
        good = not self._has_learnt or self._seen["level"] < _LEARNT * self._seen["first"]
        if self._measured % _KEPT == 0 and good:
            self._good = self._state()

    def _curved(
        self, loss: float, after: float, slope: float, again: Callable[[], torch.Tensor]
    ) -> float:
        """Return ΔθᵀHΔθ of the step."""
        if self._random is None:
            self._random = self._evaluated(again, seed=1) != after
        if not self._random:
            return 2.0 * (after - loss - slope)
        # The slope is one of other random numbers: three losses of the same ones do without it.
        now = [p.detach().clone() for p in self._parameters]
        between = []
        with torch.no_grad():
            for share in (0.0, 0.5):
                places = torch._foreach_lerp(self._before, now, share)
                torch._foreach_copy_(self._parameters, places)
                between.append(self._evaluated(again, seed=0))
            torch._foreach_copy_(self._parameters, now)
        start, middle = between
        return 4.0 * (start - 2.0 * middle + after)

    def _evaluated(self, again: Callable[[], torch.Tensor], seed: int) -> float:
        """Return what `again` says, without gradients and without a trace."""
        device = self._parameters[0].device
        kept = random_states_restored(device) if self.model is None else untouched(self.model)
        with torch.no_grad(), kept:
            torch.manual_seed(seed)
            return _number(again())

    def _fault(self, loss: float, after: float, dead: float) -> str | None:
        """Say what has gone wrong, if anything has."""
        if not (math.isfinite(loss) and math.isfinite(after)):
            return "the loss was not finite"
        seen, first_ones = self._seen, self._measured <= _MEMORY
        if first_ones:
            seen["largest"] = max(seen["largest"], abs(loss))
            seen["alive"] = max(seen["alive"], 1.0 - dead)
            if self._measured == 1:
                seen["first"] = seen["level"] = loss
        seen["level"] += (loss - seen["level"]) / _MEMORY
        seen["lowest"] = min(seen["lowest"], seen["level"])
        if first_ones:
            return None
        if abs(loss) > _BURST * seen["largest"]:
            return f"the loss had grown to {loss:.4g}"
        if self._has_learnt and seen["level"] > _LOST * seen["first"]:
            return f"the loss was back at {seen['level']:.4g}"
        if 1.0 - dead < _ALIVE * seen["alive"]:
            return f"{dead:.0%} of the gradient had become exactly zero"
        return None

    @property
    def _has_learnt(self) -> bool:
        return self._seen["lowest"] < _LEARNT * self._seen["first"]

    def _go_back(self, fault: str) -> None:
        assert self.step_size is not None
        self.recoveries.append((self.taken, fault))
        parameters, buffers, held = self._good
        with torch.no_grad():
            for parameter, kept in zip(self._parameters, parameters, strict=True):
                parameter.copy_(kept)
            if self.model is not None:
                for buffer, kept in zip(self.model.buffers(), buffers, strict=True):
                    buffer.copy_(kept)
        self.optimizer.state.clear()
        for parameter, state in held.items():
            self.optimizer.state[parameter] = _copied(state)
        self._means = dict.fromkeys(self._means, 0.0)
        self._seen["level"] = min(self._seen["level"], self._seen["lowest"])
        self.set(self.step_size / _BACK)

    def _state(self) -> tuple[list[torch.Tensor], list[torch.Tensor], dict[Any, Any]]:
        """Return copies of the parameters, the model's buffers and the optimizer's memory."""
        buffers = [] if self.model is None else list(self.model.buffers())
        return (
            [p.detach().clone() for p in self._parameters],
            [b.detach().clone() for b in buffers],
            {p: _copied(state) for p, state in self.optimizer.state.items()},
        )

    def _from_the_phase(self) -> float:
        """Return the geometric mean of the step sizes of the second half of the phase."""
        assert self.step_size is not None
        counted = self._peak["counted"]
        return math.exp(self._peak["logarithms"] / counted) if counted else self.step_size

    def _fall(self) -> None:
        assert self.held is not None
        assert self.steps is not None
        left = (
            (self.steps - self.taken) / (self.steps - self.held) if self.taken < self.steps else 0
        )
        self.step_size = self._from_the_phase() * left
        for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
            group["lr"] = self.step_size * ratio

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if getattr(optimizer, "grad_scale", None) is not None:
            raise RuntimeError("call scaler.unscale_(optimizer) first: its gradients are scaled")
        self.overrule()
        self._before = [p.detach().clone() for p in self._parameters]

    @torch.no_grad()
    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Bound the step, and note its slope; on the device, without waiting for it."""
        moved = torch._foreach_sub([p.detach() for p in self._parameters], self._before)
        share = (self.longest / get_total_norm(moved)).clamp(max=1.0)
        for parameter, before in zip(self._parameters, self._before, strict=True):
            # Where nothing is shortened, not a bit changes.
            parameter.copy_(torch.lerp(before, parameter.detach(), share.to(parameter.dtype)))
        if (self.taken + 1) % self.every:
            return
        with_gradient = [
            (p.grad, p.detach() - before)
            for p, before in zip(self._parameters, self._before, strict=True)
            if p.grad is not None
        ]
        slopes = [torch.sum(g.double() * delta.double()) for g, delta in with_gradient]
        zeros = [(g == 0).sum() for g, _ in with_gradient]
        entries = max(sum(g.numel() for g, _ in with_gradient), 1)
        self._share = share
        self._slope = sum(slopes, torch.zeros((), dtype=torch.float64))
        self._zero = sum(zeros, torch.zeros(())) / entries


def _number(loss: torch.Tensor | float) -> float:
    return float(loss.detach()) if isinstance(loss, torch.Tensor) else float(loss)


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v.detach().clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}
