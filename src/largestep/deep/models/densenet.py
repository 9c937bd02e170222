"""Densely connected networks (Huang, Liu, van der Maaten and Weinberger, CVPR 2017)."""

import torch
from torch import Tensor, nn

from largestep import _checks
from largestep.deep.models.parts import Norm, chain, convolution, normalization

__all__ = ["densenet100", "densenet_bc100", "small_densenet"]


def _preactivated(inputs: int, outputs: int, size: int, norm: Norm) -> list[nn.Module]:
    """Return normalisation, ReLU and convolution, in this order."""
    return [
        normalization(norm, inputs),
        nn.ReLU(),
        convolution(inputs, outputs, size, bias=norm == "none"),
    ]


class DenseLayer(nn.Module):
    """x ↦ [x, f(x)]: append `growth` new channels to all that came before.

    f is a 3 × 3 convolution, with a bottleneck after a 1 × 1 convolution to 4·growth channels;
    normalisation and ReLU come before each.
    """

    def __init__(self, inputs: int, growth: int, bottleneck: bool, norm: Norm) -> None:
        super().__init__()
        if bottleneck:
            steps = _preactivated(inputs, 4 * growth, 1, norm)
            steps += _preactivated(4 * growth, growth, 3, norm)
        else:
            steps = _preactivated(inputs, growth, 3, norm)
        self.new = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.new(x)], dim=1)


def _densenet(
    *,
    layers: int,
    stem: int,
    growth: int,
    bottleneck: bool,
    compression: float,
    classes: int,
    norm: Norm,
    channels: int,
) -> nn.Sequential:
    """Return a 3 × 3 stem, then three stages of dense layers with transitions between them.

    The normalisation and the ReLU with which a transition begins are counted to the stage before
    it, so that the stage's output is what the next convolution reads.
    """
    bias = norm == "none"
    parts: dict[str, nn.Module] = {"stem": convolution(channels, stem, 3, bias=bias)}
    width = stem
    for stage in (1, 2, 3):
        if stage > 1:
            outputs = int(compression * width)
            parts[f"transition{stage - 1}"] = nn.Sequential(
                convolution(width, outputs, 1, bias=bias), nn.AvgPool2d(2, ceil_mode=True)
            )
            width = outputs
        dense = [
            DenseLayer(width + layer * growth, growth, bottleneck, norm) for layer in range(layers)
        ]
        width += layers * growth
        parts[f"stage{stage}"] = nn.Sequential(*dense, normalization(norm, width), nn.ReLU())
    return chain(parts, features=width, classes=classes)


def densenet100(
    classes: int = 10, growth: int = 12, norm: Norm = "batch", channels: int = 3
) -> nn.Sequential:
    """Return a DenseNet-100 without bottleneck or compression.

    A stem of 16 channels, three stages of 32 layers. With 10 classes and growth 12 it has
    6 979 642 parameters. In training, each layer keeps two copies of its input: memory grows
    with the square of the depth, to 30 GB for 256 images of 32 × 32 in single precision. Without
    normalisation convolutions have biases.

    Parameters
    ----------
    classes : number of outputs.
    growth : channels that each layer adds.
    norm : "batch", "group" (groups of 16 channels, or the next fewer that fit) or "none".
    channels : of the images.
    """
    return _densenet(
        layers=32,
        stem=16,
        growth=_checks.integer("growth", growth, at_least=1),
        bottleneck=False,
        compression=1.0,
        classes=classes,
        norm=norm,
        channels=channels,
    )


def densenet_bc100(
    classes: int = 10, growth: int = 12, norm: Norm = "batch", channels: int = 3
) -> nn.Sequential:
    """Return a DenseNet-BC-100: as `densenet100`, with bottlenecks and transitions that halve.

    A stem of 2·growth channels, three stages of 16 layers of two convolutions each. With 10
    classes and growth 12 it has 769 162 parameters.
    """
    growth = _checks.integer("growth", growth, at_least=1)
    return _densenet(
        layers=16,
        stem=2 * growth,
        growth=growth,
        bottleneck=True,
        compression=0.5,
        classes=classes,
        norm=norm,
        channels=channels,
    )


def small_densenet(
    classes: int = 10,
    layers: int = 3,
    growth: int = 6,
    norm: Norm = "batch",
    channels: int = 1,
) -> nn.Sequential:
    """Return a small densely connected network, for images as small as 16 × 16.

    A stem of 2·growth channels, three stages of so many layers without bottlenecks, transitions
    that halve.
    """
    growth = _checks.integer("growth", growth, at_least=1)
    return _densenet(
        layers=_checks.integer("layers", layers, at_least=1),
        stem=2 * growth,
        growth=growth,
        bottleneck=False,
        compression=0.5,
        classes=classes,
        norm=norm,
        channels=channels,
    )
