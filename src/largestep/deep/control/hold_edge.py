"""A step size for PyTorch that holds the curvature of the step itself, for any optimizer."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from largestep import _checks
from largestep.deep._untouched import random_states_restored, seed_all, unrepeatable, untouched
from largestep.deep.control.steering import Steering, over_processes

__all__ = ["HoldEdge"]

_MEMORY = 10
"""Measurements over which the curvature, and the level of the loss, are averaged."""
_GAIN, _MOST = 0.2, 1.0
"""Share of the logarithmic error that a measurement corrects, and the most that it may."""
_FAR = 1e300
"""What no loss has been yet: infinity, but for JSON."""
_KEPT = 10
"""Measurements between the states that a collapse or a divergence goes back to."""
_BACK, _TAMER = 3.0, 1.5
"""By how much the step size falls then, and the curvature to hold."""
_BURST = 100.0
"""A loss beyond so many times the largest of the first ones is a divergence."""
_ROUNDING = 1e-5
"""Of a loss in single precision, with room for the sums in it."""
_SAME = 0.01
"""Losses that differ by a larger share are not of the same batch, whatever was rounded or fused."""
_LOST = 0.1
"""A loss that has fallen by such a share of its start, and has risen again by it and by its own
scatter, is on its way to a collapse: units die, and the rest say the same of more and more
inputs."""
_IN_VAIN = 10
"""Returns after which something else must be wrong."""
_ALIVE, _BRIEF = 0.25, 3
"""A collapse too: in some layer only so small a share is left of the units that had a gradient on a
batch, as a mean over so many measurements, and the loss no longer falls."""
_LATE = 4.0
"""The mean over the phase weighs a step by its number to the power of this less one."""

_Batch = Callable[[], torch.Tensor]


class HoldEdge(Steering):
    """Steer any optimizer's step size: hold the curvature κ of its steps, then decay.

    Let Δθ be a step that the optimizer has taken on a batch, and f(s) the loss of that batch at
    θ + sΔθ, before the step, half way and after it: f(0), f(½), f(1). The parabola through them has
    the slope and the curvature

        f′ = 4f(½) − 3f(0) − f(1),  f″ = 4(f(0) − 2f(½) + f(1)),  and  κ = (1 + μ) · f″/(−f′),

    μ the optimizer's momentum (β₁ of Adam's kind). It needs two more forward passes, no gradient
    and no Hessian, and has no units. Without momentum κ = 1 is the step of least loss along its own
    direction, at κ = 2 a step makes no progress on its own batch; for SGD it is the step size times
    the batch sharpness, which along SGD settles near 2 by itself (Andreyev and Beneventano, 2024).
    With momentum most of a step is of older batches: if their gradients are orthogonal to this
    one's, f″/(−f′) is η/(1 − μ²) times the batch sharpness, and the factor 1 + μ makes κ what it is
    without momentum, for the step size η/(1 − μ) that adds up.

    The rule.

    - κ is measured every `every` steps, at the start after each step and then whenever their
      number has grown by a tenth; by running means over 10 measurements of f″/η² and −f′/η, which
      stay comparable while η moves. Then η ← η · exp(0.2 · log(κ⋆/κ)), at most by a factor e.
    - No step is longer than ``length`` times the norm ‖θ₀‖ of all parameters at the start.
    - After the fraction `hold` of training η falls linearly to zero, from its geometric mean over
      the phase, in which late steps weigh most (as the cube of their number).
    - Where the loss is not finite, has burst, or has risen by a tenth of its first value above the
      lowest level it had, or where three quarters of a layer's units have lost their gradient (in
      that of its weights their rows are exactly zero) and the loss no longer falls, parameters and
      optimizer go back to the last good state, η falls to a third, and κ⋆ to two thirds;
      `recoveries` says when and why.

    It is largestep's own. What was measured, and where not to use it, is on the page "A step size
    that holds".

    Parameters
    ----------
    optimizer : any of ``torch.optim`` but LBFGS and SparseAdam. Every group's step size is η times
        the ratio of its own initial one to the largest; η starts from the largest, finds its way
        within some tens of steps, and stays within a factor 10⁶ of it.
    steps : optimizer steps of the whole training; None if that is not known: then η is held
        until `decay` is called.
    model : what is trained. Its buffers and the random states are put back after the extra forward
        passes, and its buffers go back with the parameters. Leave it out only if it has neither
        batch norm nor anything else that changes in a forward pass.
    kappa : κ⋆, the one number to turn: larger is sparser and riskier.
    hold : fraction of training spent holding.
    every : steps between measurements.
    length : the longest step, relative to the norm of the parameters.

    Attributes
    ----------
    kappa : κ⋆ as it is now.
    curvature : κ as measured last, NaN before.
    recoveries : (step, what happened) of each return to an earlier state.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range, the optimizer is steered already, takes several
        evaluations a step or sparse gradients, or all parameters are zero.

    Notes
    -----
    Call ``step(loss, again)`` after ``optimizer.step()``, where ``again()`` computes the loss of
    the same batch anew, as it was computed for the gradient: in training mode, under autocast. With
    gradients accumulated call it once, with means over what was accumulated, or with each part:
    without a step of the optimizer since the last call the part is only noted. Gradients may be
    clipped or scaled, since only losses are compared. Several processes share their losses. Where
    the loss is random, as with dropout, a measurement takes three passes with the same random
    numbers.

    Each step keeps a copy of the parameters to know its length, and the state to go back to takes
    as much memory as the parameters and what the optimizer keeps.

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
        every: int = 20,
        length: float = 0.1,
    ) -> None:
        super().__init__(optimizer)
        if isinstance(self.optimizer, torch.optim.LBFGS | torch.optim.SparseAdam):
            raise TypeError(
                "optimizer must take a step from one dense gradient, "
                f"got {type(self.optimizer).__name__}"
            )
        if model is not None and not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        hold = _checks.number("hold", hold, above=0.0, at_most=1.0)
        self.steps = steps if steps is None else _checks.integer("steps", steps, at_least=1)
        self.held = None if self.steps is None else math.ceil(hold * self.steps)
        self.model = model
        self.kappa = _checks.number("kappa", kappa, above=0.0)
        self.every = _checks.integer("every", every, at_least=1)
        self._parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
        norm = float(_norm([p.detach() for p in self._parameters]))
        self.longest = _checks.number("length", length, above=0.0) * norm
        if not 0.0 < self.longest < math.inf:
            raise ValueError(f"length · ‖parameters‖ must be positive, got {self.longest}")
        self.taken = 0
        self.curvature = math.nan
        self.recoveries: list[tuple[int, str]] = []
        self._means = {"numerator": 0.0, "denominator": 0.0}
        self._seen = dict.fromkeys(("largest", "first", "level", "scatter"), 0.0)
        self._seen["lowest"] = _FAR
        self._units: dict[str, list[float]] = {"first": [], "now": []}
        self._measured = 0
        self._random: bool | None = None
        self._recent: list[torch.Tensor | float] = []
        self._again: list[_Batch] = []
        self._before = [torch.empty_like(p) for p in self._parameters]
        self._length: torch.Tensor | None = None
        self._share: torch.Tensor | None = None
        self._alive: torch.Tensor | None = None
        self.set(max(self.get_last_lr()))
        self._peak = math.log(max(self.get_last_lr()))
        self._good = self._state()
        self.optimizer.register_step_pre_hook(self._before_step)
        self.optimizer.register_step_post_hook(self._after_step)

    @property
    def peak(self) -> float:
        """The step size that the decay starts from."""
        return math.exp(self._peak)

    @property
    def settled(self) -> bool:
        """Whether κ as measured is κ⋆ within a factor e."""
        return 1.0 / math.e < self.curvature / self.kappa < math.e

    def step(self, loss: torch.Tensor | float, again: _Batch | None = None) -> None:
        """Set the next step's size.

        Parameters
        ----------
        loss : the loss of the batch whose gradient the optimizer has just followed, before the
            step.
        again : computes the loss of the same batch, now; called now and then, without gradients.

        Raises
        ------
        TypeError
            If there is no `again`, or losses are in half precision.
        ValueError
            If `again` does not give the same twice.
        """
        if again is None:
            raise TypeError("step(loss, again) needs again, which computes the batch's loss anew")
        if isinstance(loss, torch.Tensor) and loss.dtype in (torch.float16, torch.bfloat16):
            raise TypeError(
                f"loss must be in single precision, got {loss.dtype}: compute it from "
                "outputs.float(), since a step changes it by less than half precision can hold"
            )
        if self._due(self.taken + 1):
            self._again.append(again)
        losses = self.noted(loss)
        if not losses:
            return
        self.taken += 1
        mean = sum(losses) / len(losses)
        # In double precision, as a resumption sums them.
        self._recent.append(mean.double() if isinstance(mean, torch.Tensor) else mean)
        if self._due(self.taken):
            self._look()
            self._again.clear()
            self._recent.clear()
        if self.held is not None and self.taken >= self.held:
            if self.taken == self.held and not self.settled:
                self.warn(
                    "unsettled",
                    f"κ should be {self.kappa:.2g}, and was {self.curvature:.2g} when the phase of "
                    f"holding ended after {self.taken} steps: the step size had not found its way. "
                    "Give it more steps, or an optimizer with a first step size that is nearer",
                )
            self._fall()

    def decay(self, steps: int) -> None:
        """Begin the decay now: η falls linearly to zero within so many steps."""
        self.held = self.taken
        self.steps = self.taken + _checks.integer("steps", steps, at_least=1)
        self._fall()

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes during training, as numbers that JSON keeps exactly.

        The state that it would go back to is not among them: after a resumption it is the one
        resumed from.
        """
        names = ("steps", "held", "taken", "step_size", "longest", "kappa", "curvature")
        state: dict[str, Any] = {name: getattr(self, name) for name in names}
        return state | {
            "recoveries": [list(r) for r in self.recoveries],
            "means": dict(self._means),
            "seen": dict(self._seen),
            "units": {name: list(shares) for name, shares in self._units.items()},
            "peak": self._peak,
            "measured": self._measured,
            "random": self._random,
            "recent": [float(loss) for loss in self._recent],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state; the parameters and the optimizer must have theirs already."""
        if set(state) != set(self.state_dict()):
            raise ValueError("the state is not one of a HoldEdge")
        for name in ("steps", "held", "taken", "longest", "kappa", "curvature"):
            setattr(self, name, state[name])
        self.recoveries = [(int(step), str(what)) for step, what in state["recoveries"]]
        self._means, self._seen = dict(state["means"]), dict(state["seen"])
        self._units = {name: list(shares) for name, shares in state["units"].items()}
        self._peak, self._measured = state["peak"], state["measured"]
        self._random, self._recent = state["random"], list(state["recent"])
        self.put(state["step_size"])
        self._good = self._state()

    def _due(self, step: int) -> bool:
        """Whether a step is looked at."""
        return step % min(self.every, max(1, step // 10)) == 0

    def _look(self) -> None:
        """See whether all is well since the last time, and how curved the last step was."""
        assert self.step_size is not None
        assert self._alive is not None
        fault = self._fault(self._mean(self._recent), self._alive.tolist())
        if fault is None and (self.held is None or self.taken <= self.held):
            fault = self._measure()
            peak = math.log(self.step_size)
            weight = _LATE * len(self._recent) / self.taken
            self._peak += (peak - self._peak) * min(weight, 1.0)
        if fault is not None:
            self._go_back(fault)

    def _measure(self) -> str | None:
        """Measure the last step, and set the size of the next; or say what has gone wrong."""
        assert self.step_size is not None
        assert self._length is not None
        assert self._share is not None
        after = self._evaluated()
        if self._random is None:
            self._random = self._is_random(after)
        self._measured += 1
        start = self._at(0.0) if self._random else self._mean(self._recent[-1:])
        middle = self._at(0.5)
        if not math.isfinite(start + middle + after):
            return "the loss was not finite"
        slope, curved = 4.0 * middle - 3.0 * start - after, 4.0 * (start - 2.0 * middle + after)
        if max(abs(middle - start), abs(after - start)) <= _ROUNDING * abs(start):
            # What a step changes is lost in the loss's rounding: it is far too short at the start,
            # and later nothing is left to be learnt.
            if math.isnan(self.curvature) and self._length > 0.0:
                self.set(self.step_size * math.exp(_MOST))
            return None
        # A step that was shortened is one of a smaller step size.
        size, means = self.step_size * float(self._share), self._means
        for name, value in (("numerator", curved / size**2), ("denominator", -slope / size)):
            means[name] += (value - means[name]) / _MEMORY
        if means["denominator"] > 0.0:
            ratio = self.step_size * means["numerator"] / means["denominator"]
            self.curvature = (1.0 + max(map(_momentum, self.optimizer.param_groups))) * ratio
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
        if self._measured % _KEPT == 0 and self._risen() < 0.5 and self._left() > 1.5 * _ALIVE:
            self._good = self._state()
        return None

    def _is_random(self, after: float) -> bool:
        """See once whether the loss is random, and can be computed again at all."""
        same, other, start = self._evaluated(), self._evaluated(seed=1), self._at(0.0)
        if not all(map(math.isfinite, (after, start))):
            return False
        if _differ(same, after, _SAME):
            culprit = None if self.model is None else unrepeatable(self.model, self._evaluated)
            where = "something" if culprit is None else f"the module {culprit!r}"
            raise ValueError(
                f"again() gives {after:.6g} and {same:.6g} for the same batch, parameters and "
                f"random numbers: {where} changes in between and cannot be put back"
            )
        if _differ(other, after, _ROUNDING):
            return True
        loss = self._mean(self._recent[-1:])
        if _differ(start, loss, _SAME):
            self.warn(
                "other batch",
                f"again() gives {start:.6g} at the parameters before the step, and step(loss) was "
                f"given {loss:.6g}: both must be the mean loss of the same batch. If again looks "
                "its batch up when it is called, bind it: functools.partial(loss_of, x, y)",
            )
            return True  # so that losses are compared with their own kind
        return False

    def _at(self, share: float) -> float:
        """Return the batch's loss at a share of the step."""
        with torch.no_grad():
            now = [p.clone() for p in self._parameters]
            places = torch._foreach_lerp(self._before, now, share)
            torch._foreach_copy_(self._parameters, places)
            try:
                return self._evaluated()
            finally:
                torch._foreach_copy_(self._parameters, now)

    def _evaluated(self, seed: int = 0) -> float:
        """Return what `again` says now, without gradients and without a trace."""
        device = self._parameters[0].device
        kept = random_states_restored(device) if self.model is None else untouched(self.model)
        with torch.no_grad(), kept:
            seed_all(seed)
            return self._mean([again() for again in self._again])

    def _mean(self, losses: Sequence[torch.Tensor | float]) -> float:
        mean = sum(losses) / len(losses)
        return over_processes(float(mean), self._parameters[0].device)

    def _fault(self, loss: float, alive: list[float]) -> str | None:
        """Say what has gone wrong, if anything has."""
        if not math.isfinite(loss):
            return "the loss was not finite"
        seen, units = self._seen, self._units
        if self._measured == 0:
            seen["first"] = seen["level"] = loss
            units["first"], units["now"] = list(alive), list(alive)
        if self._measured < _MEMORY:
            seen["largest"] = max(seen["largest"], abs(loss))
            units["first"] = list(map(max, units["first"], alive))
        seen["scatter"] += (abs(loss - seen["level"]) - seen["scatter"]) / _MEMORY
        seen["level"] += (loss - seen["level"]) / _MEMORY
        seen["lowest"] = min(seen["lowest"], seen["level"])
        units["now"] = [a + (b - a) / _BRIEF for a, b in zip(units["now"], alive, strict=True)]
        if self._measured < _MEMORY:
            return None
        if abs(loss) > _BURST * seen["largest"]:
            return f"the loss had grown to {loss:.4g}"
        if self._risen() > 1.0:
            return f"the loss had risen from {seen['lowest']:.4g} to {seen['level']:.4g}"
        if self._left() < _ALIVE and seen["level"] > seen["lowest"]:
            return f"{1.0 - self._left():.0%} of the units of a layer had lost their gradient"
        return None

    def _left(self) -> float:
        """Return the least share of a layer's units that still has a gradient."""
        pairs = zip(self._units["now"], self._units["first"], strict=True)
        return min((now / first for now, first in pairs if first), default=1.0)

    def _risen(self) -> float:
        """Return how far the loss is above its lowest level, in what is too far."""
        seen = self._seen
        much = _LOST * abs(seen["first"])
        if seen["first"] - seen["lowest"] <= much:
            return 0.0
        return (seen["level"] - seen["lowest"]) / (much + seen["scatter"])

    def _go_back(self, fault: str) -> None:
        assert self.step_size is not None
        self.recoveries.append((self.taken, fault))
        if len(self.recoveries) == _IN_VAIN:
            self.warn(
                "recoveries",
                f"it has gone back {_IN_VAIN} times by step {self.taken}, now because {fault}: "
                "shorter steps do not help. Is there NaN in the data?",
            )
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
        self._units["now"] = list(self._units["first"])
        self.kappa /= _TAMER
        self.set(self.step_size / _BACK)
        self._peak = min(self._peak - math.log(_BACK), math.log(self.step_size))

    def _state(self) -> tuple[list[torch.Tensor], list[torch.Tensor], dict[Any, Any]]:
        """Return copies of the parameters, the model's buffers and the optimizer's memory."""
        buffers = [] if self.model is None else list(self.model.buffers())
        return (
            [p.detach().clone() for p in self._parameters],
            [b.detach().clone() for b in buffers],
            {p: _copied(state) for p, state in self.optimizer.state.items()},
        )

    def _fall(self) -> None:
        """Set the step size of the decay."""
        assert self.held is not None
        assert self.steps is not None
        left = max(self.steps - self.taken, 0) / max(self.steps - self.held, 1)
        self.put(self.peak * left)

    @torch.no_grad()
    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self.overrule()
        torch._foreach_copy_(self._before, self._parameters)

    @torch.no_grad()
    def _after_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Bound the step; on the device, without waiting for it."""
        moved = torch._foreach_sub(self._parameters, self._before)
        self._length = _norm(moved)
        self._share = (self.longest / self._length).clamp(max=1.0)
        # Where nothing is shortened, not a bit changes; on a CPU it costs nothing to see that.
        if self._share.is_cuda or self._share != 1.0:
            for parameter, before in zip(self._parameters, self._before, strict=True):
                parameter.copy_(torch.lerp(before, parameter, self._share.to(parameter.dtype)))
        if self._due(self.taken + 1):
            weights = [p for p in self._parameters if p.ndim > 1]
            alive = [p.new_ones(()) if p.grad is None else _rows(p.grad) for p in weights]
            self._alive = torch.stack(alive) if alive else torch.zeros(0)


def _norm(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the norm of all, on the first one's device; get_total_norm takes twice as long."""
    norms = torch._foreach_norm(list(tensors))
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))


def _rows(gradient: torch.Tensor) -> torch.Tensor:
    """Return the share of a weight's rows, one for each unit, whose gradient is not all zero."""
    return (gradient != 0).flatten(1).any(1).to(gradient.dtype).mean()


def _momentum(group: dict[str, Any]) -> float:
    """Return how much of a step is carried on to the next."""
    return float(group.get("momentum") or group.get("betas", (0.0,))[0])


def _differ(a: float, b: float, share: float) -> bool:
    return not abs(a - b) <= share * max(abs(a), abs(b))


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v.detach().clone() if isinstance(v, torch.Tensor) else v for k, v in state.items()}
