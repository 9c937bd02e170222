"""What a probe at its defaults costs a training loop, in time and in memory."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks._timing import row, seconds
from largestep.deep import Probe, models

_EVERY = 100
"""Steps between measurements, by default."""


def measure() -> list[dict[str, Any]]:
    """Measure at width 16 on two cores, and at width 64 on a GPU where there is one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, threads))
    try:
        rows = [_overhead(torch.device("cpu"), width=16)]
    finally:
        torch.set_num_threads(threads)
    if torch.cuda.is_available():
        rows.append(_overhead(torch.device("cuda"), width=64))
    return rows


def _overhead(device: torch.device, *, width: int) -> dict[str, Any]:
    """Hold a measurement against the steps between two, extrapolated from a few."""
    model = models.build("resnet18", 10, width=width).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    images = torch.randn(1024, 3, 32, 32, device=device)
    labels = torch.randint(10, (1024,), device=device)
    # The first measurement, before there is freed memory for it to take.
    probe, peak = _with_peak_bytes(lambda: Probe(model, torch.split(images, 128)), device)

    def step() -> None:
        functional.cross_entropy(model(images[:128]), labels[:128]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        _wait(device)

    def watch() -> None:
        probe.measure()
        _wait(device)

    steps, measurement = _EVERY * seconds(step), seconds(watch)
    return row(
        f"probe of ResNet-18, width {width}, {device.type}: {measurement / steps:.1%} of the steps "
        f"between two measurements, {peak / 2**30:.2f} GiB",
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
