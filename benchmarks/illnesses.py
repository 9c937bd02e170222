"""The doctor on planted illnesses and healthy runs: what it finds of each, over seeds.

`python -m benchmarks.illnesses --seeds 5` makes the table of docs/doctor.md. The thresholds of
`largestep.diagnosis` were chosen on seeds from 100 on, the table is of seeds from 0 on.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

from largestep.deep import Probe, data, models
from largestep.deep.measures import (
    Activity,
    BatchSharpness,
    Errors,
    GradientNoise,
    Opposition,
    Sparsity,
    StepSize,
)

__all__ = ["ARCHITECTURES", "ILLNESSES", "trained"]

STEPS, EVERY = 150, 50


class _Block(nn.Module):
    """Attention and two layers, each added to what comes in, after a normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.into, self.relu = nn.Linear(width, 4 * width), nn.ReLU()
        self.out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.first(x)
        x = x + self.attention(seen, seen, seen, need_weights=False)[0]
        hidden: Tensor = self.relu(self.into(self.second(x)))
        return x + self.out(hidden)


class _Transformer(nn.Module):
    """A transformer that reads an image row by row."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.place = nn.Parameter(0.1 * torch.randn(8, width))
        self.blocks = nn.Sequential(_Block(width), _Block(width))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.embed(x.flatten(1, 2)) + self.place)
        answer: Tensor = self.last(self.norm(x).mean(1))
        return answer


def _mlp() -> nn.Sequential:
    widths = (64, 64, 64, 64)
    layers = [
        layer
        for a, b in zip(widths, widths[1:], strict=False)
        for layer in (nn.Linear(a, b), nn.ReLU())
    ]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10))


def _resnet() -> nn.Module:
    seed = torch.initial_seed()
    return models.build("small_resnet", 10, seed, channels=1, widths=(8, 16), blocks=1)


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], float, float, float, str]] = {
    "MLP": (_mlp, 0.3, 0.0, 30.0, "position"),
    "residual network": (_resnet, 0.05, 0.9, 1000.0, "channel"),
    "transformer": (_Transformer, 0.05, 0.9, 30.0, "channel"),
}
"""How each is made, the step size and the momentum that suit it, how many times the step size is too
much (batch norm bears thirty), and what its units are."""

ILLNESSES = {
    "healthy": (),
    "step too large": ("step too large",),
    "step too small": ("step too small",),
    "dead layer": ("dead units",),
    "exploding layer": ("exploding layer",),
    "label noise": ("label noise",),
    "batch too large": ("batch too large",),
}
"""What is planted, and the rule that should find it."""


def _hurt(model: nn.Module, illness: str) -> None:
    """Give the layer in the middle weights that kill its units, or make them large."""
    scaled, shifted = {
        nn.Sequential: ("3.weight", "3.bias"),
        _Transformer: ("blocks.0.into.weight", "blocks.0.into.bias"),
    }[type(model)]
    if hasattr(model, "stage1"):  # what stands before a batch norm is not seen behind it
        scaled, shifted = "stage1.0.norm2.weight", "stage2.0.norm1.bias"
    parameters = dict(model.named_parameters())
    if illness == "exploding layer":
        parameters[scaled].mul_(30.0)
    elif illness == "dead layer":
        parameters[shifted].fill_(-100.0)


def trained(architecture: str, illness: str, seed: int) -> xr.Dataset:
    """Train a network on digits with an illness, and return what its probe saw."""
    torch.manual_seed(seed)
    make, step_size, momentum, too_much, units = ARCHITECTURES[architecture]
    digits = data.load("digits")
    x, y = digits.normalise(digits.x_train), digits.y_train
    test = digits.normalise(digits.x_test), digits.y_test
    model = make()
    batch = len(x) if illness == "batch too large" else 32
    if illness == "label noise":
        y = torch.where(torch.rand(len(y)) < 0.4, torch.randint(10, y.shape), y)
    step_size *= {"step too large": too_much, "step too small": 0.01}.get(illness, 1.0)
    with torch.no_grad():
        _hurt(model, illness)
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size, momentum=momentum)
    probe = Probe(
        model,
        list(zip(x.split(batch), y.split(batch), strict=True)),
        measures=[
            *(Sparsity(), Activity(), Errors("test", [test]), StepSize(optimizer)),
            *(BatchSharpness(batches=2), GradientNoise(), Opposition(256)),
        ],
        every=EVERY,
        max_inputs=max(256, batch),
        max_units=500,
        units=units,  # type: ignore[arg-type]
        loss_function=functional.cross_entropy,
    )
    for _ in range(STEPS):
        drawn = torch.randperm(len(x))[:batch]
        loss = functional.cross_entropy(model(x[drawn]), y[drawn])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        probe.step(loss)
    return probe.dataset()


if __name__ == "__main__":
    import sys, time
    out = Path(sys.argv[1]); out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for seed in map(int, sys.argv[2:]):
        for a in ARCHITECTURES:
            for i in ILLNESSES:
                path = out / f"{a}-{i}-{seed}.nc"
                if path.exists(): continue
                t = time.process_time()
                trained(a, i, seed).to_netcdf(path, engine="h5netcdf")
                print(a, i, seed, time.process_time() - t, flush=True)
