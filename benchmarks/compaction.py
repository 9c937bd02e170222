"""What compaction saves: the latency of networks in which channels died, before and after."""

from typing import Any

import torch
from torch import nn

from benchmarks._timing import row
from largestep.deep import models
from largestep.deep.compaction import compact


def with_dead_channels(name: str, share: float, **settings: Any) -> nn.Module:
    """Return a network in which this share of the channels behind every batch norm is dead."""
    model = models.build(name, classes=10, **settings).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.bias[: int(share * module.num_features)] = -1e3
    return model


def measure() -> list[dict[str, Any]]:
    """Compare, on one core, networks of which half of the channels died with what is left."""
    torch.set_num_threads(1)
    x = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    rows = []
    for name, settings in (
        ("resnet18", {"width": 32}),
        ("densenet_bc100", {}),
        ("vgg16", {}),
    ):
        model = with_dead_channels(name, 0.5, **settings)
        _, report = compact(model, x[:8], held_out=x[8:])
        fewer = report.multiply_adds_before / report.multiply_adds_after
        rows.append(
            row(
                f"{name}, half of the channels dead: {fewer:.1f} times fewer operations",
                report.latency_before,
                report.latency_after,
                "",
            )
        )
    return rows
