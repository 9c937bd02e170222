"""What `compaction` computes."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from largestep.experiments.budget import Budget
from largestep.experiments.deep_networks import DeepNetworks
from largestep.experiments.trainings import run_all
from largestep.store import Results

if TYPE_CHECKING:
    from torch import Tensor, nn

    from largestep.deep.data import Dataset
    from largestep.deep.training import Trained, Training


SMALL, HELD = "0.1", "LossStabilization"
BY_STEP_SIZE = ("1 until 50%", "2 until 50%", "3 until 50%")
BY_LENGTH = ("3 until 10%", "3 until 30%", "3 until 50%")
EXACT, CLOSE = "exact", "close"
WAYS = {
    EXACT: {"tolerance": 0.0, "correlation_threshold": 1.0},
    CLOSE: {"tolerance": 0.1, "correlation_threshold": 0.9},
}
CALIBRATION, TUNING_EPOCHS, TUNING_STEP_SIZE = 2000, 5, 0.01


_LONG_NAMES = {
    "parameters": "share of parameters left",
    "multiply_adds": "share of multiply-adds left",
    "latency": "latency after over before",
    "dead": "dead channels removed",
    "merged": "channels merged",
    "undone": "removals undone for held-out data",
    "held_out_difference": "largest difference of held-out outputs, relative",
    "unseen_difference": "largest difference of unseen outputs, relative",
    "error_before": "test error before",
    "error": "test error, compacted",
    "tuned_error": "test error, compacted and fine-tuned",
    "pruned_parameters": "share of parameters left by pruning",
    "pruned_error": "test error, pruned by magnitude",
    "pruned_tuned_error": "test error, pruned and fine-tuned",
}


def schedules() -> "dict[str, Training]":
    """Return what is trained, by the name of the schedule."""
    from largestep.deep.training.presets import training

    train = partial(training, "digits", evaluations=20)
    large = {
        f"{step_size} until {phase:.0%}": train("large", step_size=float(step_size), phase=phase)
        for step_size, phase in ((1, 0.5), (2, 0.5), (3, 0.1), (3, 0.3), (3, 0.5))
    }
    return {SMALL: train("small"), **large, HELD: train("hold")}


def compute(budget: Budget) -> Results:
    """Return what became of every network; on CIFAR-10 too where a folder of data is given."""
    from largestep.deep import data

    digits = data.load("digits", train=500)
    results = {"digits": run_all("compaction, digits", budget, schedules(), digits, compacted)}
    if budget.data is not None:
        networks, cifar = DeepNetworks("resnet18", ("cifar10",)), data.load("cifar10", budget.data)
        results["resnet18"] = run_all(
            "compaction, resnet18", budget, networks.schedules("plain"), cifar, compacted
        )
    return Results.from_dict(results)


def compacted(trained: "Trained", settings: "Training", data: "Dataset") -> xr.Dataset:
    """Compact a network in both ways, prune it to the same size, and measure on unseen images.

    The first training images calibrate, every other test image is held out for the tolerance, and
    the rest is not seen before the errors are measured on it.

    Returns
    -------
    Dataset with dimension way. Of a network that diverged or collapsed all is NaN.
    """
    from largestep.deep.compaction import compact

    model = trained.model
    data = data.to(next(model.parameters()).device)
    x, y = data.normalise(data.x_train), data.y_train
    held_out, unseen = (
        (data.normalise(data.x_test[start::2]), data.y_test[start::2]) for start in (0, 1)
    )
    before = error_of(model, unseen)
    lost = was_lost(trained)
    rows: list[dict[str, float]] = []
    for way in WAYS.values():
        if lost:
            rows.append({})
            continue
        smaller, report = compact(
            model,
            [(x[:CALIBRATION], y[:CALIBRATION])],
            held_out=[held_out],
            tolerance=way["tolerance"],
            correlation_threshold=way["correlation_threshold"],
        )
        pruned = _pruned(model, report.parameters_after, x[:1])
        difference = (smaller(unseen[0]) - model(unseen[0])).abs().max().item()
        rows.append(
            {
                "parameters": report.parameters_after / report.parameters_before,
                "multiply_adds": report.multiply_adds_after / report.multiply_adds_before,
                "latency": report.latency_after / report.latency_before,
                "dead": sum(layer.dead for layer in report.layers),
                "merged": sum(layer.merged for layer in report.layers),
                "undone": report.undone,
                "held_out_difference": report.held_out.largest / report.scale,
                "unseen_difference": difference / report.scale,
                "error_before": before,
                "error": error_of(smaller, unseen),
                "tuned_error": error_of(_tuned(smaller, x, y, settings), unseen),
                "pruned_parameters": size(pruned) / report.parameters_before,
                "pruned_error": error_of(pruned, unseen),
                "pruned_tuned_error": error_of(_tuned(pruned, x, y, settings), unseen),
            }
        )
    names = _LONG_NAMES
    return xr.Dataset(
        {
            name: ("way", [row.get(name, np.nan) for row in rows], {"long_name": long_name})
            for name, long_name in names.items()
        },
        coords={"way": list(WAYS)},
    )


def was_lost(trained: "Trained") -> bool:
    """Return whether a network has diverged or collapsed."""
    ended = (float(trained.results[name]) for name in ("diverged_at", "collapsed_at"))
    return any(map(np.isfinite, ended))


def _pruned(model: "nn.Module", parameters: int, example: "Tensor") -> "nn.Module":
    """Return the model with its channels of least weight pruned, to at most so many parameters."""
    low, high = 0.0, 0.95
    if size(model) <= parameters:
        return pruned_by(model, low, example)
    for _ in range(10):
        middle = (low + high) / 2
        small = size(pruned_by(model, middle, example)) <= parameters
        low, high = (low, middle) if small else (middle, high)
    return pruned_by(model, high, example)


def pruned_by(model: "nn.Module", ratio: float, example: "Tensor") -> Any:
    """Return a copy of the model without that share of its channels, those of least weight."""
    from copy import deepcopy

    import torch_pruning

    copy = deepcopy(model)
    if ratio > 0:
        pruner = torch_pruning.pruner.BasePruner(
            copy,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            global_pruning=True,
            pruning_ratio=ratio,
            ignored_layers=[copy.get_submodule("linear")],
        )
        pruner.step()
    return copy


def _tuned(model: "nn.Module", x: "Tensor", y: "Tensor", settings: "Training") -> "nn.Module":
    """Return the model after a few epochs more, of small steps."""
    from copy import deepcopy

    import torch

    from largestep.deep.data import permutation

    copy = deepcopy(model).train()
    optimizer = torch.optim.SGD(copy.parameters(), lr=TUNING_STEP_SIZE)
    for epoch in range(TUNING_EPOCHS):
        order = permutation(len(x), settings.seed, settings.epochs + epoch)
        for batch in torch.split(order, settings.batch_size):
            loss = torch.nn.functional.cross_entropy(copy(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return copy.eval()


def error_of(model: "nn.Module", data: "tuple[Tensor, Tensor]") -> float:
    """Return the share of examples that a model gets wrong."""
    import torch

    with torch.no_grad():
        return float((model(data[0]).argmax(1) != data[1]).double().mean())


def size(model: "nn.Module") -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
