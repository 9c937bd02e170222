"""What a probe at its defaults costs a training loop, in time and in memory."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks._timing import row, seconds
from largestep.deep import Probe, models

_STEPS = 100
"""Steps between two measurements, at the least."""
_BATCH = 32
"""The smaller the batches of training, the more a measurement at 1024 inputs weighs."""


class _Transformer(nn.Module):
    """Four layers on 64 tokens: of a text, with the future masked, or patches of an image."""

    def __init__(self, first: nn.Module, *, causal: bool) -> None:
        super().__init__()
        self.first = first
        layer = nn.TransformerEncoderLayer(
            128, 4, 512, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.last = nn.Linear(128, 64)
        mask = nn.Transformer.generate_square_subsequent_mask(64) if causal else None
        self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.first(x)
        if tokens.ndim == 4:  # patches
            tokens = tokens.flatten(2).transpose(1, 2)
        return self.last(self.layers(tokens, mask=self.mask)).mean(1)


def measure() -> list[dict[str, Any]]:
    """Measure three networks on one thread, and a wide one on a GPU where there is one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [_overhead(*network, torch.device("cpu")) for network in networks()]
    finally:
        torch.set_num_threads(threads)
    if torch.cuda.is_available():
        resnet = models.build("resnet18", 10, width=64)
        images = torch.randn(1024, 3, 32, 32)
        rows.append(_overhead("ResNet-18, width 64", resnet, images, torch.device("cuda")))
    return rows


def networks() -> list[tuple[str, nn.Module, torch.Tensor]]:
    """Return three networks, by what they are called, with 1024 inputs each."""
    images, text = torch.randn(1024, 3, 32, 32), torch.randint(64, (1024, 64))
    resnet = models.build("small_resnet", 64, channels=3, widths=(16, 32, 64), blocks=3)
    gpt = _Transformer(nn.Embedding(64, 128), causal=True)
    vit = _Transformer(nn.Conv2d(3, 128, 4, stride=4), causal=False)
    return [
        ("residual network of 3 stages", resnet, images),
        ("GPT of 4 layers", gpt, text),
        ("ViT of 4 layers", vit, images),
    ]


def _overhead(
    name: str, model: nn.Module, inputs: torch.Tensor, device: torch.device
) -> dict[str, Any]:
    """Hold a measurement against the steps between two, extrapolated from a few."""
    model, inputs = model.to(device), inputs.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    labels = torch.randint(10, (_BATCH,), device=device)
    # The first measurement, before there is freed memory for it to take.
    probe, peak = _with_peak_bytes(lambda: Probe(model, torch.split(inputs, 128)), device)

    def step() -> None:
        functional.cross_entropy(model(inputs[:_BATCH]), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        _wait(device)

    def watch() -> None:
        probe.measure()
        _wait(device)

    pause, measurement = _STEPS * seconds(step), seconds(watch)
    # As a probe that says nothing else does: twice the steps, until it takes a twenty-fifth.
    every = _STEPS
    while measurement > 0.04 * pause * every / _STEPS:
        every *= 2
    steps = pause * every / _STEPS
    return row(
        f"probe of a {name}, {device.type}: {measurement / steps:.1%} of the steps between two "
        f"measurements, every {every} steps; {measurement / pause:.1%} if every 100; "
        f"{peak / 2**30:.2f} GiB",
        steps,
        measurement,
        "< 5 %",
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _with_peak_bytes(make: Callable[[], Probe], device: torch.device) -> tuple[Probe, float]:
    """Return what is made and the most memory that it took meanwhile; on a CPU, Linux tells."""
    if device.type == "cuda":
        held: float = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        return make(), torch.cuda.max_memory_allocated() - held
    if not Path("/proc/self/clear_refs").exists():
        return make(), float("nan")
    # What other benchmarks have freed would be taken first, and not be seen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    held = _resident_peak()
    return make(), _resident_peak() - held


def _resident_peak() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(float(line.split()[1]) for line in lines if line.startswith("VmHWM"))
