"""A step size and a schedule for somebody else's loop, found in a minute."""

import copy
import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from largestep import _checks
from largestep.deep._untouched import random_states_restored, seed_all, untouched
from largestep.deep.batches import Batch, checked, loader_restored, moved
from largestep.deep.control.hold_edge import HoldEdge

__all__ = ["FoundStep", "find_step"]

_SEARCHES = 2
"""As many as it takes to see whether they agree."""
_AGREE = 2.0
"""The most that they may differ by, as a factor."""
_SHORT = 100
"""Steps below which little is known."""
_FALLEN = 0.95
"""Of the loss's first level: if the last is not below, nothing was learnt."""


MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True, eq=False)
class FoundStep:
    """A step size, and what is to be thought of it.

    Attributes
    ----------
    step_size : the geometric mean of those that the searches held.
    warmup : steps until a search had come to half of it.
    optimizer : how the optimizer is made, as Python.
    doubts : why not to trust it; empty if there is no reason.
    history : `step_size`, `kappa` and `loss` of every step, by `search` and `step`; NaN after the
        end of the shorter search.
    """

    step_size: float
    warmup: int
    optimizer: str
    doubts: tuple[str, ...]
    history: xr.Dataset

    def __str__(self) -> str:
        """Return lines for a loop, in which `steps` is the number of steps of the training."""
        warmup = max(self.warmup, 1)
        lines = [
            f"optimizer = {self.optimizer}",
            "schedule = torch.optim.lr_scheduler.LambdaLR(",
            f"    optimizer, lambda k: min((k + 1) / {warmup}, 1.0, 2.0 * (1.0 - k / steps))",
            ")  # rises, is held for half of the training, falls to zero",
            "# after each optimizer.step(): schedule.step()",
        ]
        return "\n".join([*lines, *(f"# Do not trust it: {doubt}." for doubt in self.doubts)])


def find_step(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    *,
    optimizer: str | MakeOptimizer = "AdamW",
    steps: int = 300,
    seconds: float = 60.0,
    kappa: float = 1.0,
) -> FoundStep:
    """Find a step size by training copies of a model with `HoldEdge`, from steps that are tiny.

    Two copies are trained, with other random numbers and on other batches. The model, the loader
    and the random states stay as they were.

    Parameters
    ----------
    model : to be trained, in the state that training starts from.
    batches : a loader, or a list of batches, gone through again and again.
    loss : the loss of a model on a batch, a scalar.
    optimizer : a class of ``torch.optim`` by name, or what makes the optimizer of some parameters.
    steps : of a search.
    seconds : after which the searches end, if they have not taken their steps.
    kappa : the curvature to hold, as of `HoldEdge`.

    Returns
    -------
    FoundStep
        Its text is two statements to paste into a loop.

    Raises
    ------
    TypeError, ValueError
        If an argument is not what it should be, the loss is no scalar or is not finite from the
        start, or no gradient is other than zero.

    Examples
    --------
    >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> model = torch.nn.Linear(3, 1)
    >>> def loss(model, batch):
    ...     return (model(batch) - batch.sum(1, keepdim=True)).square().mean()
    >>> found = find_step(model, x.split(16), loss, optimizer="SGD")
    >>> 0.05 < found.step_size < 2.0
    True
    """
    _checks.kind("model", model, nn.Module)
    make = getattr(torch.optim, optimizer, None) if isinstance(optimizer, str) else optimizer
    if make is None:
        raise ValueError(f"optimizer must be a class of torch.optim, got {optimizer!r}")
    for name, value in (("loss", loss), ("optimizer", make)):
        if not callable(value):
            raise TypeError(f"{name} must be a function, got {type(value).__name__}")
    steps = _checks.integer("steps", steps, at_least=20)
    seconds = _checks.number("seconds", seconds, above=0.0)
    searches: list[_Search] = []
    batches = checked("batches", batches)
    with untouched(model), random_states_restored(), loader_restored(batches) as read:
        endless = _again_and_again(read)
        for number in range(_SEARCHES):
            seed_all(number)
            search = _Search(copy.deepcopy(model).train(), loss, make, kappa)
            ends = time.perf_counter() + seconds / _SEARCHES
            for batch in itertools.islice(endless, steps):
                search.take_step(moved(batch, model))
                if time.perf_counter() > ends:
                    break
            searches.append(search)
    return _found(searches, steps)


class _Search:
    """A copy of the model at a step of its search."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[nn.Module, Batch], Tensor],
        optimizer: MakeOptimizer,
        kappa: float,
    ) -> None:
        self.model, self.loss = model, loss
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            raise ValueError("model must have parameters that require gradients, got none")
        self.optimizer = optimizer(trained)
        if not isinstance(self.optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must return one of torch.optim, got {type(self.optimizer).__name__}"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = _FIRST
        self.controller = HoldEdge(self.optimizer, model=model, kappa=kappa)
        self.rows: list[tuple[float, float, float]] = []

    def take_step(self, batch: Batch) -> None:
        loss = self._of(batch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if not self.rows:
            self._check(loss)
        row = self.controller.get_last_lr()[0], self.controller.curvature, float(loss.detach())
        self.optimizer.step()
        self.controller.step(loss, lambda: self._of(batch))
        self.rows.append(row)

    def _of(self, batch: Batch) -> Tensor:
        loss = self.loss(self.model, batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"loss must return one number as a tensor, got {found}")
        return loss

    def _check(self, loss: Tensor) -> None:
        if not bool(loss.isfinite()):
            raise ValueError(f"loss must be finite at the start, got {float(loss.detach())}")
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        if not any(bool(gradient.any()) for gradient in gradients):
            raise ValueError("every gradient is exactly zero: with this loss nothing can be learnt")


_FIRST = 1e-5
"""The step size that a search starts from."""


def _again_and_again(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("batches must hold one at least, and last: give a list or a loader")


def _found(searches: list[_Search], steps: int) -> FoundStep:
    controllers = [search.controller for search in searches]
    sizes = [controller.peak for controller in controllers]
    step_size = math.exp(sum(map(math.log, sizes)) / len(sizes))
    tables = [np.array(search.rows) for search in searches]
    taken = min(map(len, tables))
    doubts = []
    if taken < min(_SHORT, steps):
        doubts.append(f"there was time for {taken} steps only")
    if max(sizes) > _AGREE * min(sizes):
        doubts.append("two searches found " + " and ".join(f"{size:.3g}" for size in sizes))
    for controller, table in zip(controllers, tables, strict=True):
        if not controller.settled:
            doubts.append(
                f"κ was {controller.curvature:.2g} at the end, and should be {controller.kappa:.2g}"
            )
        late = max(len(table) // 5, 1)
        first, last = table[: max(late // 4, 1), 2].mean(), table[-late:, 2].mean()
        if not last < first - (1.0 - _FALLEN) * abs(first):
            doubts.append(f"the loss did not fall: from {first:.4g} to {last:.4g}")
        doubts += [f"at step {at} {what}" for at, what in controller.recoveries]
    warmup = max(int(np.argmax(table[:, 0] >= step_size / 2)) for table in tables)
    padded = np.full((len(tables), max(map(len, tables)), 3), np.nan)
    for row, table in zip(padded, tables, strict=True):
        row[: len(table)] = table
    names = ("step_size", "kappa", "loss")
    history = xr.Dataset(
        {name: (("search", "step"), padded[:, :, i]) for i, name in enumerate(names)}
    )
    text = _as_python(searches[0].optimizer, step_size)
    return FoundStep(step_size, warmup, text, tuple(dict.fromkeys(doubts)), history)


def _as_python(optimizer: torch.optim.Optimizer, step_size: float) -> str:
    """Return how an optimizer is made, with what is not its class's default."""
    kind = type(optimizer)
    module = "torch.optim" if kind.__module__.startswith("torch.optim.") else kind.__module__
    known = inspect.signature(kind).parameters
    settings = {
        name: value
        for name, value in optimizer.defaults.items()
        if name != "lr" and name in known and value != known[name].default
    }
    listed = "".join(f", {name}={value!r}" for name, value in settings.items())
    return f"{module}.{kind.__name__}(model.parameters(), lr={step_size:.3g}{listed})"
