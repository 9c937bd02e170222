"""VGG networks for small images (Simonyan and Zisserman, ICLR 2015)."""

from itertools import pairwise

from torch import nn

from largestep.deep.models.parts import Norm, chain, convolution, normalization

__all__ = ["vgg16"]


def vgg16(classes: int = 10, norm: Norm = "batch", channels: int = 3) -> nn.Sequential:
    """Return a VGG-16 whose three dense layers are one linear layer, as usual for 32 × 32 images.

    Five stages of 2, 2, 3, 3 and 3 convolutions with 64, 128, 256, 512 and 512 channels, each
    halving the image by the maximum at its end (an image of one pixel stays). With 10 classes it
    has 14 728 266 parameters. Convolutions have biases whatever the normalisation, as published;
    batch normalisation takes them out again.

    Parameters
    ----------
    classes : number of outputs.
    norm : "batch", "group" (groups of 16 channels) or "none".
    channels : of the images.
    """
    widths = (channels, 64, 128, 256, 512, 512)
    depths = (2, 2, 3, 3, 3)
    stages: dict[str, nn.Module] = {}
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        layers: list[nn.Module] = []
        for layer in range(depths[number]):
            layers += [
                convolution(inputs if layer == 0 else outputs, outputs, 3, bias=True),
                normalization(norm, outputs),
                nn.ReLU(),
            ]
        stages[f"stage{number + 1}"] = nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True))
    return chain(stages, features=widths[-1], classes=classes)
