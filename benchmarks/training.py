"""Training images per second beside the loop that one would write first, and what a probe costs."""

import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._timing import row, seconds
from largestep.deep import Probe, models
from largestep.deep.data import Dataset
from largestep.deep.training import Run, Training
from largestep.deep.training.processes import Place

_CLASSES = 10
_PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "V100": 125e12}
"""Dense tensor-core FLOP/s of cards in half precision, by their makers' data sheets."""


class Images(TorchDataset[tuple[torch.Tensor, int]]):
    """Images one by one, cropped and flipped by Pillow and normalised."""

    def __init__(self, data: Dataset) -> None:
        self.images = data.x_train.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = data.y_train.tolist()
        self.mean, self.std = data.mean[:, None, None] / 255, data.std[:, None, None] / 255

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = ImageOps.expand(Image.fromarray(self.images[index]), 4)
        top, left, flip = torch.randint(9, (3,)).tolist()
        image = image.crop((left, top, left + 32, top + 32))
        if flip < 4.5:
            image = ImageOps.mirror(image)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - self.mean) / self.std, self.labels[index]


def random_images(n: int) -> Dataset:
    """Return random images of CIFAR's shape."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8))
    labels = torch.from_numpy(rng.integers(0, _CLASSES, n))
    return Dataset.of("random", images, labels, images[:10], labels[:10], _CLASSES)


def conventional(
    data: Dataset, width: int, batch_size: int, device: torch.device, workers: int
) -> Callable[[], None]:
    """Return an epoch of the usual loop: fp32, NCHW, a loader with workers, the loss printed."""
    model = models.build("resnet18", _CLASSES, width=width).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(
        Images(data),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )

    def epoch() -> None:
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()

    return epoch


def ours(
    data: Dataset, width: int, batch_size: int, device: torch.device, **options: Any
) -> Callable[[], None]:
    """Return an epoch of largestep's loop."""
    settings = Training(
        "resnet18",
        0.05,
        epochs=1000,
        batch_size=batch_size,
        model_settings={"width": width},
        optimizer_settings={"momentum": 0.9, "weight_decay": 5e-4},
        augment=True,
        examples=10,
        **options,
    )
    run = Run(settings, data, Place(device))

    def epoch() -> None:
        for _ in range(len(data.x_train) // batch_size):
            run.take_step()
        run.losses.sum().item()

    return epoch


def convolutions(data: Dataset, width: int, batch_size: int) -> Callable[[], None]:
    """Return an epoch of nothing but the network's convolutions, forward and backward.

    On tensors that lie as they do in largestep's loop: what is left if all else takes no time.
    """
    model = models.build("resnet18", _CLASSES, width=width)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    calls: list[tuple[torch.nn.Module, torch.Tensor, torch.Tensor]] = []

    def keep(module: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        # Of the images themselves nobody asks the gradient.
        x = inputs[0].detach().requires_grad_(bool(calls))
        calls.append((module, x, torch.randn_like(output)))

    hooks = [
        module.register_forward_hook(keep)
        for module in model.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    model(data.normalise(data.x_train[:batch_size]).contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()

    def epoch() -> None:
        for module, x, slope in calls:
            wanted = [x, *module.parameters()] if x.requires_grad else [*module.parameters()]
            # One after the other, so that the caches hold what they need, as they may in training.
            for _ in range(len(data.x_train) // batch_size):
                torch.autograd.grad(module(x), wanted, slope)

    return epoch


def side_by_side(first: Callable[[], None], second: Callable[[], None]) -> tuple[float, float]:
    """Return the median seconds of both, taken in turn, so that other load meets both."""
    pairs = [(seconds(first, repeats=1), seconds(second, repeats=1)) for _ in range(5)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def measure() -> list[dict[str, Any]]:
    """Compare on two cores at width 16, and at width 64 on a GPU where there is one."""
    threads, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    cpu = torch.device("cpu")
    data = random_images(256)
    # The loader's workers share the cores that they keep from the training.
    os.sched_setaffinity(0, sorted(cores)[:2])
    torch.set_num_threads(min(2, len(cores)))
    try:
        taken = side_by_side(conventional(data, 16, 64, cpu, 2), ours(data, 16, 64, cpu))
        least = seconds(convolutions(data, 16, 64))
        rows = [
            row("ResNet-18 of width 16, 256 images, two cores", *taken, "1.3", least=least),
            _probe(cpu, width=16, inputs=1000, goal=""),
        ]
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)
    if torch.cuda.is_available():
        rows += _on_gpu(torch.device("cuda"), min(16, os.cpu_count() or 1))
    return rows


def _on_gpu(device: torch.device, workers: int) -> list[dict[str, Any]]:
    data = random_images(50 * 256)
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        baseline = seconds(conventional(data, 64, 256, device, workers))
        rows = []
        for options in (
            {"precision": "fp32"},
            {"precision": "bf16"},
            {"precision": "bf16", "compile": True},
        ):
            taken = seconds(ours(data, 64, 256, device, **options))
            rate = len(data.x_train) / taken
            share = rate * _flops_per_image() / _peak(device)
            name = f"{options['precision']}{', compiled' if 'compile' in options else ''}"
            rows.append(
                row(
                    f"ResNet-18, {name}: {rate:.0f} images/s, {100 * share:.0f} % of its bf16 peak",
                    baseline,
                    taken,
                    "" if options["precision"] == "fp32" else "5",
                )
            )
    return [*rows, _probe(device, width=64, inputs=10_000, goal="< 2 s")]


def _probe(device: torch.device, *, width: int, inputs: int, goal: str) -> dict[str, Any]:
    model = models.build("resnet18", _CLASSES, width=width).to(device)
    images = list(torch.split(torch.randn(inputs, 3, 32, 32, device=device), 500))
    probe = Probe(model, images, layers=models.stages(model), max_inputs=inputs)
    name = f"probe of 4 stages of width {width} at {inputs} inputs, {device.type}"
    return row(name, None, seconds(probe.measure), goal)


def _flops_per_image() -> float:
    """Return the FLOPs of a training step of the full ResNet-18, forward and backward."""
    model = models.build("resnet18", _CLASSES)
    with FlopCounterMode(display=False) as counter:
        loss = functional.cross_entropy(model(torch.randn(2, 3, 32, 32)), torch.tensor([0, 1]))
        loss.backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops() / 2


def _peak(device: torch.device) -> float:
    name = torch.cuda.get_device_name(device)
    return next((peak for card, peak in _PEAKS.items() if card in name), float("nan"))
