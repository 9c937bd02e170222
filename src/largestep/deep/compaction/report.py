"""What a compaction did, what it saves and what it costs, measured."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from largestep.deep.compaction.tracing import Arguments

__all__ = ["CompactedLayer", "CompactionReport", "Difference", "latencies", "size"]

_ROUNDS, _SECONDS = 15, 5.0
"""Latencies are medians over so many calls, fewer after so many seconds, never below three."""


@dataclass(frozen=True)
class CompactedLayer:
    """The units of one layer: before = dead + merged + constant + unread + after.

    Attributes
    ----------
    name : of the non-linearity that made the units.
    before, after : number of units that the layer's readers receive.
    dead : zero at all calibration data, and gone.
    merged : combinations of units that stay, and gone into these.
    constant : always the same value, and gone into the next layer's biases.
    unread : gone because all that they fed has gone, or had weight zero.
    """

    name: str
    before: int
    dead: int
    merged: int
    constant: int
    unread: int
    after: int


@dataclass(frozen=True)
class Difference:
    """The largest and the mean absolute difference of the outputs, original against compacted."""

    largest: float
    mean: float


@dataclass(frozen=True)
class CompactionReport:
    """What `deep.compact` did.

    Attributes
    ----------
    layers : the units by layer.
    coverage : share of the parameters that were understood: those of modules that could get
        narrower if every unit that is understood were redundant.
    passed_over : why the others could not, with the share of the parameters for each reason, the
        largest first.
    tolerance, correlation_threshold : as asked for.
    rounding : the difference, relative to `scale`, that counts as rounding.
    scale : the largest absolute output of the original on held-out data.
    undone : removals that were exact, or close, on the calibration data but taken back because of
        the held-out data.
    calibration, held_out : differences of the outputs, in `precision`.
    precision, returned_in : in which the model was compacted and held against the tolerance; and
        the model's own, in which it is returned.
    as_returned : difference of the outputs on held-out data, in the model's own precision.
    accuracy_before, accuracy_after : share of held-out inputs classified as labelled; None where
        there are no labels.
    parameters_before, parameters_after : numbers of parameters.
    multiply_adds_before, multiply_adds_after : of convolutions and products, for one input.
    latency_before, latency_after : median seconds for one batch, measured in turns.
    batch_size, threads, device : how latency was measured.
    """

    layers: tuple[CompactedLayer, ...]
    coverage: float
    passed_over: dict[str, float]
    tolerance: float
    correlation_threshold: float
    rounding: float
    scale: float
    undone: int
    calibration: Difference
    held_out: Difference
    precision: str
    returned_in: str
    as_returned: Difference
    accuracy_before: float | None
    accuracy_after: float | None
    parameters_before: int
    parameters_after: int
    multiply_adds_before: int
    multiply_adds_after: int
    latency_before: float
    latency_after: float
    batch_size: int
    threads: int
    device: str

    def to_dict(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the report as a table and a few lines."""
        columns = ("before", "dead", "merged", "constant", "unread", "after")
        width = max([len("units of"), *(len(layer.name) for layer in self.layers)])
        lines = [f"{'units of':{width}}" + "".join(f"{c:>10}" for c in columns)]
        lines += [
            f"{layer.name:{width}}" + "".join(f"{getattr(layer, c):>10}" for c in columns)
            for layer in self.layers
        ]
        lines += [
            "",
            _change("parameters", self.parameters_before, self.parameters_after, ",d"),
            _change("multiply-adds", self.multiply_adds_before, self.multiply_adds_after, ",d"),
            _change("latency", 1e3 * self.latency_before, 1e3 * self.latency_after, ".3g")
            + f" ms, batch of {self.batch_size}, {self.device}, {self.threads} thread(s)",
            f"understood: {self.coverage:.0%} of the parameters"
            + "".join(f"; {share:.0%}: {why}" for why, share in self.passed_over.items()),
            "",
            f"output difference, on calibration data: largest {self.calibration.largest:.3g}, "
            f"mean {self.calibration.mean:.3g}",
            f"output difference, on held-out data:    largest {self.held_out.largest:.3g}, "
            f"mean {self.held_out.mean:.3g}",
            f"allowed: {self.tolerance:g} + {self.rounding:.2g} for rounding, of the largest "
            f"output, {self.scale:.4g}; removals undone for it: {self.undone}",
        ]
        if self.returned_in != self.precision:
            lines.append(
                f"these are in {self.precision}; as returned, in {self.returned_in}, whose "
                f"rounding comes on top: largest {self.as_returned.largest:.3g}, "
                f"mean {self.as_returned.mean:.3g}"
            )
        if self.accuracy_before is not None and self.accuracy_after is not None:
            lines.append(
                f"accuracy on held-out data: {self.accuracy_before:.2%} → {self.accuracy_after:.2%}"
            )
        return "\n".join(lines)


def size(model: nn.Module, example: Arguments) -> tuple[int, int]:
    """Return the number of parameters, and of multiply-adds for one input."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        example(model)
    parameters = sum(p.numel() for p in model.parameters())
    return parameters, counter.get_total_flops() // (2 * len(example))


def latencies(
    first: nn.Module, second: nn.Module, batch: Arguments, device: torch.device
) -> tuple[float, float]:
    """Return the median seconds that each model takes for a batch, in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    started = time.perf_counter()
    with torch.no_grad():
        for turn in range(_ROUNDS + 1):
            for model, seconds in zip((first, second), taken, strict=True):
                elapsed = _seconds(lambda model=model: batch(model), device)  # type: ignore[misc]
                if turn:  # the first call warms up
                    seconds.append(elapsed)
            if turn >= 3 and time.perf_counter() - started > _SECONDS:
                break
    return statistics.median(taken[0]), statistics.median(taken[1])


def _seconds(run: Callable[[], Any], device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    start = time.perf_counter()
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start


def _change(name: str, before: float, after: float, form: str) -> str:
    ratio = f" (÷ {before / after:.2f})" if after else ""
    return f"{name}: {before:{form}} → {after:{form}}{ratio}"
