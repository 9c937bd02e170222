"""Residual networks for small images (He, Zhang, Ren and Sun, CVPR 2016)."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from largestep import _checks
from largestep.deep.models.parts import Norm, chain, convolution, normalization

__all__ = ["resnet18", "resnet34", "small_resnet"]


class BasicBlock(nn.Module):
    """x ↦ σ(shortcut(x) + N(W₂ ∗ σ(N(W₁ ∗ x)))), N the normalisation and σ the ReLU.

    The shortcut is the identity, or a normalised 1 × 1 convolution where the shape changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = convolution(inputs, outputs, 3, stride=stride, bias=bias)
        self.norm1 = normalization(norm, outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = convolution(outputs, outputs, 3, bias=bias)
        self.norm2 = normalization(norm, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                convolution(inputs, outputs, 1, stride=stride, bias=bias),
                normalization(norm, outputs),
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(self.shortcut(x) + residual)


def _resnet(
    blocks: Sequence[int], widths: Sequence[int], classes: int, norm: Norm, channels: int
) -> nn.Sequential:
    """Return a 3 × 3 stem, then stages of blocks; all but the first halve the image."""
    stem = nn.Sequential(
        convolution(channels, widths[0], 3, bias=norm == "none"),
        normalization(norm, widths[0]),
        nn.ReLU(),
    )
    stages = {}
    for number, (inputs, outputs) in enumerate(pairwise([widths[0], *widths])):
        first = BasicBlock(inputs, outputs, 1 if number == 0 else 2, norm)
        others = (BasicBlock(outputs, outputs, 1, norm) for _ in range(blocks[number] - 1))
        stages[f"stage{number + 1}"] = nn.Sequential(first, *others)
    return chain({"stem": stem, **stages}, features=widths[-1], classes=classes)


def resnet18(
    classes: int = 10, width: int = 64, norm: Norm = "batch", channels: int = 3
) -> nn.Sequential:
    """Return a ResNet-18 with the stem for small images: 3 × 3, stride 1, no pooling.

    Four stages of two blocks, of width, 2·width, 4·width and 8·width channels. With 10 classes
    and width 64 it has 11 173 962 parameters. Without normalisation convolutions have biases.

    Parameters
    ----------
    classes : number of outputs.
    width : channels of the first stage.
    norm : "batch", "group" (groups of 16 channels) or "none".
    channels : of the images.
    """
    return _four_stages((2, 2, 2, 2), classes, width, norm, channels)


def resnet34(
    classes: int = 10, width: int = 64, norm: Norm = "batch", channels: int = 3
) -> nn.Sequential:
    """Return a ResNet-34: as `resnet18`, with 3, 4, 6 and 3 blocks; 21 282 122 parameters."""
    return _four_stages((3, 4, 6, 3), classes, width, norm, channels)


def _four_stages(
    blocks: Sequence[int], classes: int, width: int, norm: Norm, channels: int
) -> nn.Sequential:
    width = _checks.integer("width", width, at_least=1)
    return _resnet(blocks, [width, 2 * width, 4 * width, 8 * width], classes, norm, channels)


def small_resnet(
    classes: int = 10,
    widths: Sequence[int] = (16, 32, 64),
    norm: Norm = "batch",
    channels: int = 1,
    blocks: int = 1,
) -> nn.Sequential:
    """Return a small residual network, for images as small as the 8 × 8 digits.

    Parameters
    ----------
    classes : number of outputs.
    widths : channels of the stages, as many stages as widths.
    norm : "batch", "group" (groups of 16 channels) or "none".
    channels : of the images.
    blocks : number of blocks in each stage.
    """
    if not widths:
        raise ValueError("widths must name at least one stage, got none")
    widths = [_checks.integer("widths", width, at_least=1) for width in widths]
    blocks = _checks.integer("blocks", blocks, at_least=1)
    return _resnet([blocks] * len(widths), widths, classes, norm, channels)
