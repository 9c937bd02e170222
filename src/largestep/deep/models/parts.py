"""What the networks share: convolutions, normalisation, the chain's end and how weights start."""

from collections import OrderedDict
from typing import Literal, get_args

from torch import nn

from largestep import _checks

__all__ = ["Norm", "chain", "convolution", "normalization"]

Norm = Literal["batch", "group", "none"]
"""Batch normalisation, group normalisation (Wu and He 2018) or none."""


def convolution(inputs: int, outputs: int, size: int, *, stride: int = 1, bias: bool) -> nn.Conv2d:
    """Return a convolution of an odd size that keeps the image's size, but for the stride."""
    inputs = _checks.integer("channels", inputs, at_least=1)
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=bias)


def normalization(norm: Norm, channels: int) -> nn.Module:
    """Return the normalisation of so many channels; a group has 16, or the next fewer that fit."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        size = max(size for size in range(1, 17) if channels % size == 0)
        return nn.GroupNorm(channels // size, channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}")


def chain(parts: dict[str, nn.Module], *, features: int, classes: int) -> nn.Sequential:
    """Return the network: the parts, an average over positions and one linear layer.

    Weights start from the global random state. Convolutions: normal with mean 0 and variance
    2/fan_out, fan_out = size²·outputs [1]_, biases 0. Normalisations: scale 1, shift 0. Linear
    layer: uniform in ±1/√fan_in, PyTorch's default.

    Parameters
    ----------
    parts : what is run first, by name, in order.
    features : number of channels of the last part.
    classes : number of outputs.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing
       human-level performance on ImageNet classification", ICCV 2015.
    """
    end = {
        "average": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "linear": nn.Linear(features, _checks.integer("classes", classes, at_least=1)),
    }
    network = nn.Sequential(OrderedDict({**parts, **end}))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
