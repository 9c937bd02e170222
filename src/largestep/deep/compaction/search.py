"""A smaller model that computes the same, and the search for what may go."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from largestep import _checks
from largestep.deep._untouched import (
    device_of,
    random_states_restored,
    unwrapped,
    without_a_trace,
)
from largestep.deep.batches import checked, flattened, loader_restored
from largestep.deep.compaction.coverage import coverage
from largestep.deep.compaction.graph import trace
from largestep.deep.compaction.report import (
    CompactedLayer,
    CompactionReport,
    Difference,
    latencies,
    size,
)
from largestep.deep.compaction.slicing import sliced
from largestep.deep.compaction.tracing import Arguments, finished, tensors
from largestep.deep.compaction.units import (
    Layer,
    find_layers,
    find_redundancy,
    importance,
    largest_errors,
    rewired,
)
from largestep.deep.training.processes import memory_format
from largestep.metrics.redundancy import REASONS, Redundancy

__all__ = ["compact"]

_ROUNDING = 256
"""Differences of so many machine epsilons of the largest output are rounding."""

Batches = Iterable[Any]


def compact(
    model: nn.Module,
    calibration: Batches,
    *,
    held_out: Batches,
    tolerance: float = 0.0,
    correlation_threshold: float = 1.0,
) -> tuple[nn.Module, CompactionReport]:
    """Return a smaller model that computes the same to a tolerance, and what that saves.

    A unit, a channel of what a convolution or linear layer reads, is taken out of the reader

    - when it is zero at all calibration data (dead);
    - when it is a multiple of another unit: that one takes over its outgoing weights, scaled; or,
      with a threshold below 1, when it correlates above it with another: then its outgoing
      weights go to the units that stay by least squares;
    - when it always has the same value (constant): into the reader's bias. A convolution that pads
      with zeros sees a border around a constant, so that there only multiples go.

    A channel that nothing reads any more is then sliced out of all modules that make it or pass
    it on: linear layers, convolutions (depthwise too), batch and group norm (there by whole
    groups), pooling, sums, products and concatenations. A channel of a residual stream goes when
    no reader of the stream needs it. A reader that needs less than three quarters of a tensor
    that others need more of gets a copy of its part. Operations of other kinds, modules with
    shared weights and convolutions of several groups keep all their channels.

    What holds on calibration data need not hold elsewhere. So removals are undone, those first
    that err most on the held-out data, until the outputs there agree to the tolerance. That
    choice makes the held-out difference a little optimistic for data never seen.

    Parameters
    ----------
    model : in evaluation mode; it is not changed. What it takes and returns may be tensors or hold
        them, in dictionaries and outputs of Hugging Face for instance, with the batch as first
        dimension. A cache for further tokens is not among what the smaller one returns.
    calibration, held_out : batches, as a list or a DataLoader, or one tensor: of inputs, of
        dictionaries of the model's arguments, or of tuples that begin with either and labels, the
        classes. Accuracy is reported if the held-out data have labels. They are read once and kept
        on the model's device, in its precision.
    tolerance : largest absolute difference of outputs on held-out data that is allowed, relative
        to the largest absolute output of the original there. By default only what is exact up to
        rounding: 256 machine epsilons, that is 3.1e-5 in float32, allowed on top in any case. A
        model in half precision is compacted as a copy in float32, where the tolerance holds, and
        returned in its own; what rounding its weights then adds is in the report.
    correlation_threshold : in (0, 1]; see above. By default only multiples merge.

    Warns
    -----
    UserWarning
        If the held-out data are the calibration data.

    Returns
    -------
    A `torch.fx.GraphModule` of plain PyTorch modules, and the report.

    Raises
    ------
    TypeError
        If the model is no module, or the batches hold anything else.
    ValueError
        If the model is in training mode, mixes half with other precisions, cannot be traced (the
        error names the line), does not take the data, or returns what isn't finite; or a setting
        is out of range.
    """
    tolerance = _checks.number("tolerance", tolerance, at_least=0.0)
    threshold = _checks.number(
        "correlation_threshold", correlation_threshold, above=0.0, at_most=1.0
    )
    given = unwrapped(model)
    _check_evaluating(given)
    with without_a_trace(given):
        return _compacted(given, calibration, held_out, tolerance, threshold)


def _compacted(
    given: nn.Module, calibration: Batches, held_out: Batches, tolerance: float, threshold: float
) -> tuple[nn.Module, CompactionReport]:
    device, own = device_of(given), _precision(given)
    # What half precision rounds away would hide what a removal changes.
    exact = torch.float32 if _is_half(own) else own
    model = deepcopy(given).to(exact) if _is_half(own) else given
    calibrating = _Data.read("calibration", calibration, device, exact)
    holding = _Data.read("held_out", held_out, device, exact)
    example = calibrating.batches[0]
    if calibrating.same_as(holding):
        warnings.warn(
            "the held-out data are the calibration data: that the outputs agree there says nothing "
            "about any others",
            UserWarning,
            stacklevel=3,
        )

    graph = trace(deepcopy(model), example)
    layers = find_layers(graph)
    understood = coverage(graph, layers)
    expected = holding.outputs(model)
    found = find_redundancy(graph, layers, calibrating.batches, threshold)
    order = _most_certain_first(graph, layers, found, holding.batches)

    def build(count: int) -> tuple[fx.GraphModule, dict[str, np.ndarray], dict[str, np.ndarray]]:
        removed = {node: np.zeros(len(of.reason), dtype=bool) for node, of in found.items()}
        for node, unit in order[:count]:
            removed[node][unit] = True
        smaller, received = sliced(rewired(graph, layers, found, removed))
        return smaller, removed, received

    # A removal that shortens nothing, as in a residual stream that others read, only costs.
    _, removed, received = build(len(order))
    left = {layer.node: _left(layer, received, len(removed[layer.node])) for layer in layers}
    order = [(node, unit) for node, unit in order if not left[node][unit]]

    scales = [max(float(part.abs().max()) for part in parts) for parts in _by_entry(expected)]
    rounding = _rounding(expected[0])

    def agrees(count: int) -> bool:
        """Return whether every entry of the outputs agrees, relative to its own largest."""
        found = _by_entry(holding.outputs(build(count)[0]))
        return all(
            _difference([entry], [wanted]).largest <= (tolerance + rounding) * scale
            for entry, wanted, scale in zip(found, _by_entry(expected), scales, strict=True)
        )

    count = _most(agrees, len(order))
    smaller, removed, received = build(count)
    if memory_format(smaller, device) is torch.contiguous_format:
        smaller.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    differences = (
        _difference(calibrating.outputs(smaller), calibrating.outputs(model)),
        _difference(holding.outputs(smaller), expected),
    )
    finished(smaller.to(own))
    holding = holding.to(own)
    expected, outputs = (holding.outputs(m) for m in (given, smaller))
    example = calibrating.to(own).batches[0]
    parameters, multiply_adds = zip(*(size(m, example) for m in (given, smaller)), strict=True)
    latency = latencies(given, smaller, example, device)
    report = CompactionReport(
        layers=tuple(
            _layer_report(layer, found[layer.node], removed[layer.node], received)
            for layer in layers
        ),
        coverage=understood.share,
        passed_over=understood.passed_over,
        tolerance=tolerance,
        correlation_threshold=threshold,
        rounding=rounding,
        scale=max(scales),
        undone=len(order) - count,
        calibration=differences[0],
        held_out=differences[1],
        precision=_name(exact),
        returned_in=_name(own),
        as_returned=_difference(outputs, expected),
        accuracy_before=holding.accuracy(expected),
        accuracy_after=holding.accuracy(outputs),
        parameters_before=parameters[0],
        parameters_after=parameters[1],
        multiply_adds_before=multiply_adds[0],
        multiply_adds_after=multiply_adds[1],
        latency_before=latency[0],
        latency_after=latency[1],
        batch_size=len(example),
        threads=torch.get_num_threads(),
        device=str(device),
    )
    return smaller, report


@dataclass(frozen=True)
class _Data:
    """Batches on the model's device, read once: a loader that shuffles gives the same again."""

    name: str
    batches: list[Arguments]
    labels: list[Tensor] | None

    @classmethod
    def read(cls, name: str, batches: Batches, device: torch.device, dtype: torch.dtype) -> "_Data":
        batches = checked(name, batches)
        arguments, labels = [], []
        with random_states_restored(device), loader_restored(batches) as read:
            for number, batch in enumerate(read):
                parts = batch if isinstance(batch, tuple | list) else (batch,)
                if isinstance(batch, Mapping):
                    parts = (batch, *(v for k, v in batch.items() if k == "labels"))
                if not parts or not all(isinstance(p, Tensor | Mapping) for p in parts[:2]):
                    raise TypeError(
                        f"{name} must be tensors, dictionaries of arguments, or tuples of either "
                        f"and labels, batch {number} is {type(batch).__name__}"
                    )
                first = next(flattened(parts[0]), None)
                if not isinstance(first, Tensor) or first.ndim < 2 or len(first) == 0:
                    shape = tuple(first.shape) if isinstance(first, Tensor) else "none"
                    raise ValueError(
                        f"{name}: batch {number} must have inputs along its first dimension and "
                        f"channels along its second, got shape {shape}"
                    )
                arguments.append(Arguments.of(parts[0]).to(device, dtype))
                labels += [part.to(device) for part in parts[1:2]]
        if not arguments:
            raise ValueError(f"{name} must have at least one batch, got none")
        return cls(name, arguments, labels if len(labels) == len(arguments) else None)

    def same_as(self, other: "_Data") -> bool:
        """Return whether the inputs are the same, however they are cut into batches."""
        mine, theirs = ([b.first for b in data.batches] for data in (self, other))
        if sum(map(torch.numel, mine)) != sum(map(torch.numel, theirs)):
            return False
        return torch.equal(*(torch.cat([x.flatten() for x in part]) for part in (mine, theirs)))

    def to(self, dtype: torch.dtype) -> "_Data":
        """Return the same with what is floating point in another precision."""
        return replace(self, batches=[b.to(b.first.device, dtype) for b in self.batches])

    def outputs(self, model: nn.Module) -> list[list[Tensor]]:
        """Return what is floating point in the outputs, batch by batch, or what is wrong."""
        found = []
        with torch.no_grad():
            for number, batch in enumerate(self.batches):
                try:
                    output = batch(model)
                except (IndexError, RuntimeError, TypeError, ValueError) as error:
                    raise ValueError(
                        f"{self.name}: the model does not take batch {number} of shape "
                        f"{batch.shapes}: {str(error).strip().partition(chr(10))[0]}"
                    ) from error
                parts = tensors(output)
                if not parts:
                    raise ValueError(f"the model must return real numbers, got {_kind(output)}")
                if not all(part.isfinite().all() for part in parts):
                    raise ValueError(
                        f"the model's outputs on {self.name} batch {number} are not finite: "
                        "a diverged model cannot be compacted"
                    )
                found.append(parts)
        return found

    def accuracy(self, outputs: list[list[Tensor]]) -> float | None:
        """Return the share of inputs whose largest output is their label's; None without labels.

        Of several outputs that with one row of scores for each label counts.
        """
        if self.labels is None or any(labels.is_floating_point() for labels in self.labels):
            return None
        right = []
        for parts, labels in zip(outputs, self.labels, strict=True):
            # The classes come second, or last where each token has scores of its own.
            ways = [w for p in parts for w in ((p.movedim(-1, 1), p) if p.ndim == 3 else (p,))]
            scores = [w for w in ways if w.ndim > 1 and w[:, 0].shape == labels.shape]
            if not scores:
                if len(parts) > 1:
                    return None
                raise ValueError(
                    f"{self.name}: labels must be one class for each output, got shape "
                    f"{tuple(labels.shape)} for outputs of shape {tuple(parts[0].shape)}"
                )
            right.append((scores[0].argmax(dim=1) == labels).float().flatten())
        return float(torch.cat(right).mean(dtype=torch.float64))


def _by_entry(outputs: list[list[Tensor]]) -> list[list[Tensor]]:
    """Return the batches of each entry of the outputs."""
    return [list(batches) for batches in zip(*outputs, strict=True)]


def _kind(value: object) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def _precision(model: nn.Module) -> torch.dtype:
    """Return the precision of the parameters; of several, all of them single or finer, the first.

    Raises
    ------
    ValueError
        If some parameters are in half precision and some are not.
    """
    found = list(dict.fromkeys(p.dtype for p in model.parameters() if p.is_floating_point()))
    if len(found) > 1 and any(map(_is_half, found)):
        raise ValueError(
            f"the model must have one precision, got {', '.join(map(_name, found))}: convert it, "
            "as by model.float()"
        )
    return found[0] if found else torch.float32


def _is_half(dtype: torch.dtype) -> bool:
    return torch.finfo(dtype).bits < 32


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _rounding(outputs: list[Tensor]) -> float:
    """Return the difference of outputs, relative to the largest, that is nothing but rounding."""
    dtype = outputs[0].dtype
    if _is_half(dtype):
        raise ValueError(
            f"the model must return outputs in single precision, got {_name(dtype)}: take the "
            "cast out of forward, as differences as large as the outputs would pass for rounding"
        )
    return _ROUNDING * torch.finfo(dtype).eps


def _check_evaluating(model: nn.Module) -> None:
    training = [name or "the model" for name, module in model.named_modules() if module.training]
    if training:
        raise ValueError(
            f"the model must be in evaluation mode: call model.eval() first ({training[0]} is in "
            "training mode)"
        )


def _most_certain_first(
    graph: fx.GraphModule,
    layers: list[Layer],
    found: Mapping[str, Redundancy],
    batches: list[Arguments],
) -> list[tuple[str, int]]:
    """Return the removable units, those first that are replaced best on the data.

    By the error with which a unit is replaced, times the norm of its outgoing weights, relative to
    the most that any unit of the layer sends.
    """
    errors = largest_errors(graph, found, batches)
    uncertain = []
    for layer in layers:
        redundant = found[layer.node]
        sent = importance(graph, layer, redundant.moments.largest)
        error = importance(graph, layer, errors[layer.node]) / (sent.max() or 1.0)
        uncertain += [
            (float(error[unit]), layer.node, int(unit))
            for unit in np.flatnonzero(redundant.removable)
        ]
    return [(node, unit) for _, node, unit in sorted(uncertain, key=lambda entry: entry[0])]


def _left(layer: Layer, received: Mapping[str, np.ndarray], units: int) -> np.ndarray:
    """Return which units of a layer any of its readers still gets."""
    by_reader = [received[reader].reshape(units, -1).any(axis=1) for reader in layer.readers]
    return np.any(by_reader, axis=0)


def _layer_report(
    layer: Layer, found: Redundancy, removed: np.ndarray, received: Mapping[str, np.ndarray]
) -> CompactedLayer:
    gone = ~_left(layer, received, len(removed))
    because = {reason: int((gone & removed & (found.reason == reason)).sum()) for reason in REASONS}
    return CompactedLayer(
        name=layer.name,
        before=len(gone),
        **because,
        unread=int((gone & ~removed).sum()),
        after=int((~gone).sum()),
    )


def _difference(outputs: list[list[Tensor]], expected: list[list[Tensor]]) -> Difference:
    pairs = zip(chain(*outputs), chain(*expected), strict=True)
    apart = torch.cat([(output - wanted).abs().flatten() for output, wanted in pairs])
    return Difference(float(apart.max()), float(apart.mean(dtype=torch.float64)))


def _most(agrees: Callable[[int], bool], most: int) -> int:
    """Return the largest number of removals found, by bisection, with which the outputs agree."""
    if agrees(most):
        return most
    if not agrees(0):
        raise ValueError(
            "the traced graph does not compute what the model does, before anything is removed: "
            "is it random, or does it depend on the values of tensors?"
        )
    right, wrong = 0, most
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if agrees(middle):
            right = middle
        else:
            wrong = middle
    return right
