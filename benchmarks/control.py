"""What a controller of the step size costs a training loop."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks._timing import row
from benchmarks.probe import networks
from benchmarks.training import side_by_side
from largestep.deep import HoldEdge, LossStabilization

_BATCH = 32
_STEPS = 20
"""Steps of a stretch that is timed: one measurement of `HoldEdge`, once it is on its way."""


def measure() -> list[dict[str, Any]]:
    """Measure both on one thread, beside the loop without them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    small = nn.Sequential(nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU())
    problems = [
        *networks()[:2],
        ("network of three layers", small.append(nn.Linear(200, 10)), torch.randn(_BATCH, 64)),
    ]
    try:
        return [
            _overhead(name, kind, model, inputs[:_BATCH])
            for name, model, inputs in problems
            for kind in (HoldEdge, LossStabilization)
        ]
    finally:
        torch.set_num_threads(threads)


def _overhead(name: str, kind: type, model: nn.Module, inputs: torch.Tensor) -> dict[str, Any]:
    """Hold the same steps with and without a controller against each other."""
    alone, steered = side_by_side(_stretch(None, model, inputs), _stretch(kind, model, inputs))
    fixed = 1000.0 * (steered - alone) / _STEPS
    return row(
        f"{kind.__name__}, {name}: {steered / alone - 1.0:+.1%}, {fixed:.2f} ms on a step of "
        f"{1000.0 * alone / _STEPS:.1f} ms",
        alone,
        steered,
        "< 5 %" if alone > 0.01 * _STEPS else "",
    )


def _stretch(kind: type | None, model: nn.Module, inputs: torch.Tensor) -> Callable[[], None]:
    labels = torch.randint(10, (_BATCH,))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    controller: Any = None
    if kind is not None:
        more = {"model": model} if kind is HoldEdge else {}
        controller = kind(optimizer, 10**6, **more)
        controller.bounds = (1e-3, 1e-3)  # the same steps
        controller.taken = 1000  # far from the start, where measurements are closer together

    def of_batch() -> torch.Tensor:
        return functional.cross_entropy(model(inputs), labels)

    def step() -> None:
        loss = of_batch()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if controller is not None:
            controller.step(loss, of_batch)

    def stretch(advance: Callable[[], None]) -> None:
        for _ in range(_STEPS):
            advance()

    return partial(stretch, step)
