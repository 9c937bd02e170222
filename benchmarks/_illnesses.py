"""The doctor on planted illnesses and healthy runs: what it finds of each, over seeds.

`python -m benchmarks._illnesses` makes the table of docs/doctor.md. The thresholds of
`largestep.diagnosis` were chosen on seed 100, the table is of seeds from 0 on.
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

from largestep import _files
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
from largestep.diagnosis import diagnose, read

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
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10))


def _resnet() -> nn.Module:
    seed = torch.initial_seed()
    return models.build("small_resnet", 10, seed, channels=1, widths=(8, 16), blocks=1)


ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], float, float, float, str]] = {
    "MLP": (_mlp, 0.3, 0.0, 30.0, "position"),
    "residual network": (_resnet, 0.05, 0.9, 1000.0, "channel"),
    "transformer": (_Transformer, 0.05, 0.9, 30.0, "channel"),
}
"""How each is made, the step size and the momentum that suit it, how many times the step size is
too much (batch norm bears thirty), and what its units are."""

ILLNESSES: dict[str, tuple[str, ...]] = {
    "healthy": (),
    "step too large": ("diverging", "loss burst", "step too large"),
    "step too small": ("step too small",),
    "dead layer": ("dead units",),
    "exploding layer": ("exploding layer",),
    "label noise": ("label noise",),
    "batch too large": ("batch too large",),
}
"""What is planted, and the rules one of which should find it."""


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
    batch, steps = (len(x), STEPS // 2) if illness == "batch too large" else (32, STEPS)
    if illness == "label noise":
        y = torch.where(torch.rand(len(y)) < 0.4, torch.randint(10, y.shape), y)
    step_size *= {"step too large": too_much, "step too small": 0.01}.get(illness, 1.0)
    with torch.no_grad():
        _hurt(model, illness)
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size, momentum=momentum)
    probe = Probe(
        model,
        list(zip(torch.split(x, batch), torch.split(y, batch), strict=True)),
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
    for _ in range(steps):
        drawn = torch.randperm(len(x))[:batch]
        loss = functional.cross_entropy(model(x[drawn]), y[drawn])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        probe.step(loss)
    return probe.dataset()


def _row(illness: str, found: list[tuple[str, set[str]]]) -> str:
    """Return a line of the table: what was found in the runs of one illness."""
    named = Counter(kind for kind, names in found if names & set(ILLNESSES[illness]))
    others = Counter(name for _, names in found for name in names - set(ILLNESSES[illness]))
    quiet = sum(not names for _, names in found)
    cells = [f"{named[kind]}/{sum(k == kind for k, _ in found)}" for kind in ARCHITECTURES]
    told = ", ".join(f"{name} {count}" for name, count in others.most_common())
    cells = cells if illness != "healthy" else ["–"] * len(cells)
    return f"| {illness} | {' | '.join(cells)} | {quiet} | {told or 'none'} |"


def main() -> None:
    """Train every network with every illness, and print what the doctor finds as a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="Folder of the probes' files; taken up if there.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)  # of layers that are not finite
    runs: dict[str, list[tuple[str, set[str]]]] = {illness: [] for illness in ILLNESSES}
    for seed in range(options.first, options.first + options.seeds):
        for kind in ARCHITECTURES:
            for illness in ILLNESSES:
                path = options.keep and options.keep / f"{kind}-{illness}-{seed}.nc"
                if path and path.exists():
                    seen = read(path)
                else:
                    seen = trained(kind, illness, seed)
                    if path:
                        _files.prepare_folder(options.keep)
                        _files.write_bytes(path, bytes(seen.to_netcdf(engine="h5netcdf")))
                names = {finding.name for finding in diagnose(seen).findings}
                runs[illness].append((kind, names))
    print(f"| planted | {' | '.join(ARCHITECTURES)} | nothing found | also found |")
    print("|" + "---|" * (len(ARCHITECTURES) + 3))
    for illness, found in runs.items():
        print(_row(illness, found))


if __name__ == "__main__":
    main()
