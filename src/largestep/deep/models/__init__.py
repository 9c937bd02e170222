"""Image classifiers, for images of any size, and a transformer that predicts the next token.

All are chains of named parts that end in one linear layer, those for images after an average over
positions. The parts named ``stage1``, ``stage2``, … are those whose features are measured; but for
GELU these are never negative. Every non-linearity is a module of its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from largestep import _checks
from largestep.deep.models.densenet import densenet100, densenet_bc100, small_densenet
from largestep.deep.models.resnet import resnet18, resnet34, small_resnet
from largestep.deep.models.transformer import transformer
from largestep.deep.models.vgg import vgg16

__all__ = [
    "NAMES",
    "OF_TOKENS",
    "build",
    "densenet100",
    "densenet_bc100",
    "resnet18",
    "resnet34",
    "small_densenet",
    "small_resnet",
    "stages",
    "transformer",
    "vgg16",
]

_MODELS: dict[str, Callable[..., nn.Sequential]] = {
    model.__name__: model
    for model in (
        small_resnet,
        small_densenet,
        resnet18,
        resnet34,
        densenet100,
        densenet_bc100,
        vgg16,
        transformer,
    )
}

NAMES = tuple(_MODELS)
"""The models that `build` knows."""

OF_TOKENS = ("transformer",)
"""Those that take sequences of tokens; the others take images."""


def build(name: str, classes: int, seed: int = 0, **settings: Any) -> nn.Sequential:
    """Return a model whose weights are fixed by the seed, on the CPU.

    The global random state neither decides the weights nor changes.

    Parameters
    ----------
    name : one of `NAMES`.
    classes : number of outputs.
    seed : fixes the weights, bit for bit.
    **settings : further arguments of the function of that name, such as width or norm.

    Raises
    ------
    ValueError, TypeError
        If no model has the name, or it has no such setting.

    Examples
    --------
    >>> model = build("small_resnet", classes=10, widths=(8, 16))
    >>> stages(model)
    ('stage1', 'stage2')
    >>> tuple(model(torch.zeros(4, 1, 8, 8)).shape)
    (4, 10)
    """
    if name not in _MODELS:
        raise ValueError(f"no model is called {name!r}: choose from {', '.join(NAMES)}")
    seed = _checks.integer("seed", seed, at_least=0)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return _MODELS[name](classes=classes, **settings)


def stages(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules whose outputs are the features of the stages, in order.

    - Residual networks: the output of a stage's last block, after its ReLU.
    - Dense networks: all channels of a stage, after the normalisation and ReLU that follow it.
    - VGG: the output of a stage, after the maximum that halves the image.
    - Transformers: the units of a block, between its two linear layers.

    The paper shows the last two stages.

    Raises
    ------
    ValueError
        If the model is not one of this package's, or is wrapped (compiled, distributed).
    """
    found = tuple(
        f"{name}.units" if hasattr(part, "units") else name
        for name, part in model.named_children()
        if name.startswith("stage")
    )
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no stages: pass a model made by largestep.deep.models, "
            "before it is compiled or wrapped"
        )
    return found
