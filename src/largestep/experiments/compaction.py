"""`compaction`: how much smaller a network gets that computes the same, by step size and length."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.deep_networks import DeepNetworks
from largestep.experiments.deep_runs import run_all
from largestep.figures.compaction import draw_experiment
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


def schedules() -> "dict[str, Training]":
    """Return what is trained, by the name of the schedule."""
    from largestep.deep.presets import training

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
    return results


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
    before = _error(model, unseen)
    lost = np.isfinite(float(trained.results.diverged_at)) or np.isfinite(
        float(trained.results.collapsed_at)
    )
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
                "error": _error(smaller, unseen),
                "tuned_error": _error(_tuned(smaller, x, y, settings), unseen),
                "pruned_parameters": _size(pruned) / report.parameters_before,
                "pruned_error": _error(pruned, unseen),
                "pruned_tuned_error": _error(_tuned(pruned, x, y, settings), unseen),
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


def _pruned(model: "nn.Module", parameters: int, example: "Tensor") -> "nn.Module":
    """Return the model with its channels of least weight pruned, to at most so many parameters."""
    from copy import deepcopy

    import torch_pruning

    def at(ratio: float) -> Any:
        copy = deepcopy(model)
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

    low, high = 0.0, 0.95
    if _size(model) <= parameters:
        return deepcopy(model)
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if _size(at(middle)) <= parameters else (middle, high)
    return at(high)


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


def _error(model: "nn.Module", data: "tuple[Tensor, Tensor]") -> float:
    import torch

    with torch.no_grad():
        return float((model(data[0]).argmax(1) != data[1]).double().mean())


def _size(model: "nn.Module") -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw size, cost, test error and difference of the outputs, by schedule."""
    figures = {name: draw_experiment(dataset) for name, dataset in results.items()}
    return {"figure": figures.pop("digits"), **figures}


def _values(name: str, schedule: str, way: str, results: Results) -> np.ndarray:
    values: np.ndarray = results["digits"][name].sel(schedule=schedule, way=way).values
    return values


def _smaller(name: str, than: str, what: str, way: str) -> Claim:
    def values(results: Results) -> np.ndarray:
        ratio: np.ndarray = _values("parameters", name, way, results) / _values(
            "parameters", than, way, results
        )
        return ratio

    return Claim(
        f"{what} ({way}).",
        f"parameters left, {name} over {than}, same seed",
        values,
        "below",
        1.0,
    )


def _lower(name: str, than: str, sentence: str, *, bound: float = 0.0) -> Claim:
    schedule = BY_STEP_SIZE[-1]

    def values(results: Results) -> np.ndarray:
        difference: np.ndarray = _values(name, schedule, CLOSE, results) - _values(
            than, schedule, CLOSE, results
        )
        return difference

    statistic = f"{_LONG_NAMES[name]}, minus {_LONG_NAMES[than]}; {schedule}, close, same seed"
    return Claim(sentence, statistic, values, "below", bound)


def _exact_changes_nothing(results: Results) -> np.ndarray:
    exact = results["digits"].sel(way=EXACT)
    change: np.ndarray = abs(exact.error - exact.error_before).values
    return change.ravel()


def _holds_unseen(results: Results) -> np.ndarray:
    unseen = results["digits"].unseen_difference.sel(way=CLOSE)
    allowed = WAYS[CLOSE]["tolerance"] + 1e-4
    held: np.ndarray = (unseen <= allowed).where(unseen.notnull()).values
    return held.ravel()


CLAIMS: tuple[Claim, ...] = (
    *(
        _smaller(BY_LENGTH[i + 1], BY_LENGTH[i], "The longer the phase, the smaller the network", w)
        for w in WAYS
        for i in range(2)
    ),
    *(
        _smaller(larger, smaller, "The larger the step size, the smaller the network", w)
        for w in WAYS
        for smaller, larger in zip((SMALL, *BY_STEP_SIZE[:-1]), BY_STEP_SIZE, strict=True)
    ),
    *(_smaller(HELD, SMALL, "Holding the loss gives a smaller network than 0.1", w) for w in WAYS),
    Claim(
        "Exact compaction changes no test error.",
        "change of the test error, all networks",
        _exact_changes_nothing,
        "below",
        1e-9,
        centre="mean",
    ),
    Claim(
        "What held-out data allow holds on unseen data: nine networks in ten keep the tolerance.",
        "1 if unseen outputs differ by no more than the tolerance, all networks, close",
        _holds_unseen,
        "above",
        0.9,
        centre="mean",
    ),
    _lower(
        "error",
        "error_before",
        "Close compaction costs less than half a point of test error.",
        bound=0.005,
    ),
    _lower("error", "pruned_error", "Compaction errs less than pruning to the same size."),
    _lower("tuned_error", "pruned_tuned_error", "It still does after fine-tuning both."),
    Claim(
        "The smaller network is faster.",
        f"latency after over before, {BY_STEP_SIZE[-1]}, close",
        partial(_values, "latency", BY_STEP_SIZE[-1], CLOSE),
        "below",
        1.0,
    ),
)

EXPERIMENT = Experiment(
    name="compaction",
    title="Smaller networks that compute the same",
    shows="What large steps leave over of a network can be taken out: how much, and at what cost.",
    setting=f"""
The residual network of `digits`, under small steps of 0.1, larger ones until a fraction of
training, as there, and LossStabilization. Every network is compacted in two ways: exactly (dead
channels and multiples of others go, tolerance 0), and closely (channels that correlate above 0.9
merge; outputs may differ by a tenth of the largest). The 500 training images calibrate, half of the
test images are held out to enforce the tolerance, and the other half, seen by nothing before, gives
test errors and differences. The step size 3, beyond those of `digits`, was added after it was seen
that whole channels hardly die below it.

Beside it magnitude pruning, by torch-pruning's group norms over the whole network, to as many
parameters at most. Both are fine-tuned for {TUNING_EPOCHS} epochs at a step size of
{TUNING_STEP_SIZE}. Latency is that of a batch of 500 on one thread, original and compacted in
turns, while other networks train. With --data the plain networks of resnet18 are compacted too, the
first {CALIBRATION} training images calibrating; claims are on digits alone.
""",
    seconds=240,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
    seeds=5,
    needs_torch=True,
)
