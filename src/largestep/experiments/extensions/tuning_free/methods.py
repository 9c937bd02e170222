"""The methods of `tuning-free`: each one configuration for all problems, and two grids.

A method is made for a model and a number of steps. Nobody's settings were turned: those of other
people's are what their authors give as defaults and advise.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from largestep.deep.control.base import Controller
from largestep.deep.control.hold_edge import HoldEdge
from largestep.deep.control.loss_stabilization import LossStabilization

__all__ = ["Method"]

Loss = Callable[[], Tensor]
"""The loss of the step's batch, computed anew at each call."""

_ANY = 1e-4
"""Where the step size starts that finds its way from any."""
_WARM = 0.05
"""Share of training over which a step size rises, where it does."""
_TINY = 1e-30


class Method:
    """An optimizer, and what sets its step size.

    Parameters
    ----------
    model : what is trained.
    optimizer : of its parameters, its step size that of share 1.
    share : of the step size, as a function of the fraction of training done.
    controller : what sees every step.
    """

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        optimizer: Any,
        share: Callable[[float], float] | None = None,
        controller: Controller | None = None,
    ) -> None:
        self.model, self.steps, self.optimizer = model, steps, optimizer
        self.share, self.controller = share, controller
        self.taken = 0
        self._full = [group.get("lr") for group in optimizer.param_groups]

    @property
    def recoveries(self) -> int:
        """How often it went back to an earlier state."""
        return len(getattr(self.controller, "recoveries", ()))

    def step(self, loss_of_batch: Loss) -> Tensor:
        """Take a step; return the loss before it."""
        if self.share is not None:
            for group, full in zip(self.optimizer.param_groups, self._full, strict=True):
                group["lr"] = full * self.share(self.taken / self.steps)
        loss = loss_of_batch()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.take(loss)
        if self.controller is not None:
            self.controller.step(loss, loss_of_batch)
        self.taken += 1
        return loss.detach()

    def take(self, loss: Tensor) -> None:
        """Let the optimizer step."""
        self.optimizer.step()

    def finish(self, batches: Iterable[Tensor]) -> nn.Module:
        """Return the network that training has given; batches are of the training inputs."""
        return self.model


def constant_then_linear(t: float) -> float:
    """Return the share of a step size that is constant for half of training, then falls to zero."""
    return min(1.0, 2.0 * (1.0 - t))


def cosine(t: float) -> float:
    """Return the share of a step size that falls to zero along a cosine."""
    return 0.5 * (1.0 + math.cos(math.pi * t))


def warm_cosine(t: float) -> float:
    """Return the share of one that first rises from nearly zero."""
    return (t + 1e-3) / _WARM if t < _WARM else cosine((t - _WARM) / (1.0 - _WARM))


def held_adamw(model: nn.Module, steps: int) -> Method:
    """Return HoldEdge on AdamW."""
    return _held(model, steps, torch.optim.AdamW(model.parameters(), lr=_ANY, fused=True))


def held_at(model: nn.Module, steps: int, kappa: float) -> Method:
    """Return HoldEdge on AdamW, at another curvature than its default."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=_ANY, fused=True)
    controller = HoldEdge(optimizer, steps, model=model, kappa=kappa)
    return Method(model, steps, optimizer, controller=controller)


def held_sgd(model: nn.Module, steps: int) -> Method:
    """Return HoldEdge on SGD with momentum 0.9."""
    return _held(
        model, steps, torch.optim.SGD(model.parameters(), lr=_ANY, momentum=0.9, fused=True)
    )


def stabilized_sgd(model: nn.Module, steps: int, momentum: float) -> Method:
    """Return LossStabilization on SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=_ANY, momentum=momentum, fused=True)
    return Method(model, steps, optimizer, controller=LossStabilization(optimizer, steps))


def usual_sgd(model: nn.Module, steps: int) -> Method:
    """Return SGD with momentum 0.9 at 0.05, warm-up and cosine."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
    return Method(model, steps, optimizer, warm_cosine)


def usual_nadamw(model: nn.Module, steps: int) -> Method:
    """Return NAdam with decoupled weight decay at 1e-3, warm-up and cosine."""
    optimizer = torch.optim.NAdam(
        model.parameters(), lr=1e-3, weight_decay=0.01, decoupled_weight_decay=True
    )
    return Method(model, steps, optimizer, warm_cosine)


def usual_adamw(model: nn.Module, steps: int) -> Method:
    """Return what people type: AdamW at 1e-3, cosine."""
    return Method(model, steps, torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True), cosine)


def grid_adamw(model: nn.Module, steps: int, step_size: float) -> Method:
    """Return AdamW at a step size that is constant for half of training, then falls to zero."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=step_size, fused=True)
    return Method(model, steps, optimizer, constant_then_linear)


def grid_sgd(model: nn.Module, steps: int, step_size: float) -> Method:
    """Return the same of SGD with momentum 0.9."""
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size, momentum=0.9, fused=True)
    return Method(model, steps, optimizer, constant_then_linear)


def schedule_free(model: nn.Module, steps: int) -> Method:
    """Return schedule-free AdamW at its default of 2.5e-3, with a warm-up."""
    from schedulefree import AdamWScheduleFree

    optimizer = AdamWScheduleFree(model.parameters(), warmup_steps=math.ceil(_WARM * steps))
    return _ScheduleFree(model, steps, optimizer)


def prodigy(model: nn.Module, steps: int) -> Method:
    """Return Prodigy along a cosine, as its authors advise."""
    from prodigyopt import Prodigy

    return Method(model, steps, Prodigy(model.parameters()), cosine)


def layerwise_dog(model: nn.Module, steps: int) -> Method:
    """Return layer-wise DoG with polynomial averaging, as its authors advise.

    They give another first distance where there is batch norm.
    """
    from dog import LDoG

    normalised = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    optimizer = LDoG(model.parameters(), reps_rel=1e-4 if normalised else 1e-6)
    return _Averaged(model, steps, optimizer)


def momo(model: nn.Module, steps: int) -> Method:
    """Return MoMo-Adam at its default of 1e-2."""
    from momo import MomoAdam

    return _Momo(model, steps, MomoAdam(model.parameters()))


def cdat(model: nn.Module, steps: int) -> Method:
    """Return CDAT on Adam."""
    return _CDAT(model, steps)


class _ScheduleFree(Method):
    """Averages inside its steps, and has modes of its own."""

    def step(self, loss_of_batch: Loss) -> Tensor:
        self.optimizer.train()
        return super().step(loss_of_batch)

    def finish(self, batches: Iterable[Tensor]) -> nn.Module:
        self.optimizer.eval()
        update_bn(batches, self.model)
        return self.model


class _Averaged(Method):
    """Averages beside its steps."""

    def __init__(self, model: nn.Module, steps: int, optimizer: Any) -> None:
        from dog import PolynomialDecayAverager

        super().__init__(model, steps, optimizer)
        self._averager = PolynomialDecayAverager(model)

    def take(self, loss: Tensor) -> None:
        self.optimizer.step()
        self._averager.step()

    def finish(self, batches: Iterable[Tensor]) -> nn.Module:
        averaged: nn.Module = self._averager.averaged_model
        update_bn(batches, averaged)
        return averaged


class _Momo(Method):
    """Looks at the loss."""

    def take(self, loss: Tensor) -> None:
        self.optimizer.step(loss=loss.detach())


class _CDAT(Method):
    """η = σ · ⟨max(−gᵀu, 0)⟩/⟨|uᵀHu|⟩ afresh in each step, u the optimizer's direction [1].

    ⟨⟩ are running means with decay 0.9. Their σ = 2, for whole data sets, diverges on batches: of
    0.5, 1 and 2 the first was best on a seed that is not shown.

    References
    ----------
    .. [1] V. Roulet et al., "Stepping on the edge: curvature aware learning rate tuners",
       NeurIPS 2024.
    """

    sigma, decay = 0.5, 0.9

    def __init__(self, model: nn.Module, steps: int) -> None:
        self._parameters: list[Tensor] = list(model.parameters())
        # Adam's direction does not depend on where it is: zeros stand for the parameters.
        self._steps = [nn.Parameter(torch.zeros_like(p)) for p in self._parameters]
        super().__init__(model, steps, torch.optim.Adam(self._steps, lr=1.0, fused=True))
        self._fall = self._curved = 0.0

    def step(self, loss_of_batch: Loss) -> Tensor:
        loss = loss_of_batch()
        gradients = torch.autograd.grad(loss, self._parameters, create_graph=True)
        for step, gradient in zip(self._steps, gradients, strict=True):
            step.grad = gradient.detach()
        self.optimizer.step()
        u = [step.detach() for step in self._steps]
        slope = _dot(gradients, u)
        products = torch.autograd.grad(slope, self._parameters, materialize_grads=True)
        fall, curved = max(-slope.item(), 0.0), abs(_dot(products, u).item())
        self._fall = self.decay * self._fall + fall
        self._curved = self.decay * self._curved + curved
        step_size = self.sigma * self._fall / max(self._curved, _TINY)
        with torch.no_grad():
            torch._foreach_add_(self._parameters, u, alpha=step_size)
            torch._foreach_zero_(u)
        return loss.detach()


def _dot(left: Iterable[Tensor], right: Iterable[Tensor]) -> Tensor:
    products = [(a * b).sum() for a, b in zip(left, right, strict=True)]
    return torch.stack(products).sum()


def _held(model: nn.Module, steps: int, optimizer: torch.optim.Optimizer) -> Method:
    return Method(model, steps, optimizer, controller=HoldEdge(optimizer, steps, model=model))
