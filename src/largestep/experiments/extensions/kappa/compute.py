"""What `kappa` computes."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from largestep.experiments.budget import Budget
from largestep.jobs.base import run
from largestep.jobs.processes import executor_or_processes
from largestep.store import Results

if TYPE_CHECKING:
    from torch import Tensor

OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "AdamW": ("AdamW", {}),
    "SGD": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
}
KAPPAS = {f"κ = {kappa:g}": kappa for kappa in (0.25, 0.5, 1.0, 1.5, 2.0)}
USUAL, TEN_TIMES = "κ = 1", "ten times η"
_EPOCHS, _BATCH = 40, 32
_MEASURED = {
    "test_error": "share of test images",
    "train_error": "share of training images",
    "sparsity": "feature sparsity of the last hidden layer",
    "step_size": "η at the end of the phase of holding",
    "recoveries": "returns to an earlier state",
}


def compute(budget: Budget) -> Results:
    """Return what becomes of the network under every optimizer, at every κ."""
    items = [(name, seed) for name in OPTIMIZERS for seed in budget.seeds]
    found: dict[tuple[str, int], xr.Dataset] = {}
    workers = min(len(items), budget.threads or os.cpu_count() or 1)
    with executor_or_processes(budget.executor, workers) as pool:
        for block in run(
            _trained,
            budget.steps(_EPOCHS),
            items,
            pool,
            seconds=0,
            progress=budget.described("kappa"),
        ):
            found |= zip(block.items, block.result, strict=True)
    along = xr.DataArray(budget.seeds, dims="seed", name="seed")
    return Results.from_dict(
        {
            name: xr.concat([found[name, seed] for seed in budget.seeds], along)
            for name in OPTIMIZERS
        }
    )


def _trained(epochs: int, items: Sequence[tuple[str, int]]) -> list[xr.Dataset]:
    return [_at_every_kappa(name, seed, epochs) for name, seed in items]


def _at_every_kappa(name: str, seed: int, epochs: int) -> xr.Dataset:
    ends = {label: _train(name, seed, epochs, kappa) for label, kappa in KAPPAS.items()}
    ends[TEN_TIMES] = _train(name, seed, epochs, step_size=10 * ends[USUAL]["step_size"])
    return xr.Dataset(
        {
            key: ("schedule", [end[key] for end in ends.values()], {"long_name": what})
            for key, what in _MEASURED.items()
        },
        coords={"schedule": list(ends)},
    )


def _train(
    name: str,
    seed: int,
    epochs: int,
    kappa: float | None = None,
    *,
    step_size: float = 1e-4,
) -> dict[str, float]:
    """Train at a curvature held, from tiny steps, or from a step size; and measure the network."""
    import torch
    from torch import nn
    from torch.nn import functional

    from largestep.deep.control.hold_edge import HoldEdge
    from largestep.deep.data import load

    torch.set_num_threads(1)
    digits = load("digits", train=500)
    x, y = digits.normalise(digits.x_train).flatten(1), digits.y_train
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
    )
    kind, settings = OPTIMIZERS[name]
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=step_size, **settings)
    steps = epochs * (len(x) // _BATCH)
    controller = None if kappa is None else HoldEdge(optimizer, steps, model=model, kappa=kappa)
    order = torch.Generator().manual_seed(seed)
    for step, batch in enumerate(_batches(len(x), epochs, order)):

        def of_batch(batch: "Tensor" = batch) -> "Tensor":
            return functional.cross_entropy(model(x[batch]), y[batch])

        if controller is None:
            optimizer.param_groups[0]["lr"] = step_size * min(1.0, 2.0 * (1.0 - step / steps))
        loss = of_batch()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if controller is not None:
            controller.step(loss, of_batch)
    tested = digits.normalise(digits.x_test).flatten(1), digits.y_test
    return _ends(model, (x, y), tested) | {
        "step_size": step_size if controller is None else controller.peak,
        "recoveries": 0 if controller is None else len(controller.recoveries),
    }


def _batches(examples: int, epochs: int, order: Any) -> "Sequence[Tensor]":
    import torch

    whole = examples // _BATCH * _BATCH
    drawn = [torch.randperm(examples, generator=order)[:whole] for _ in range(epochs)]
    return torch.cat(drawn).split(_BATCH)  # type: ignore[no-untyped-call]


def _ends(model: Any, train: "tuple[Tensor, Tensor]", test: "tuple[Tensor, Tensor]") -> Any:
    """Return errors and sparsity; a network that is not finite errs everywhere."""
    import torch

    from largestep.metrics import feature_sparsity

    with torch.no_grad():
        hidden = model[:-1](train[0])
        if not bool(hidden.isfinite().all()):
            return {"test_error": 1.0, "train_error": 1.0, "sparsity": np.nan}
        wrong = [float((model(x).argmax(1) != y).double().mean()) for x, y in (train, test)]
    sparsity = feature_sparsity(hidden).distinct
    return {"test_error": wrong[1], "train_error": wrong[0], "sparsity": sparsity}
