"""Labelled data held as tensors, and what training does with them: shuffle, augment."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor

from largestep import _checks

__all__ = ["Dataset", "Examples", "Sequences", "augment", "digest_of", "permutation"]


@dataclass(frozen=True, eq=False)
class Examples(ABC):
    """Labelled data for training and testing, whole, on one device: images, or sequences.

    Attributes
    ----------
    name : what they are called.
    x_train, x_test : inputs.
    y_train, y_test : labels from 0 to classes − 1.
    classes : number of classes.
    """

    name: str
    x_train: Shaped[Tensor, "n ..."]
    y_train: Int64[Tensor, "n ..."]
    x_test: Shaped[Tensor, "m ..."]
    y_test: Int64[Tensor, "m ..."]
    classes: int

    @property
    @abstractmethod
    def size(self) -> dict[str, int]:
        """What a model has to know of the inputs, by the name of its parameter."""

    @abstractmethod
    def normalise(self, inputs: Tensor) -> Tensor:
        """Return inputs as a model takes them."""

    def to(self, device: torch.device | str) -> Self:
        """Return the data on the device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if torch.is_tensor(value)
        }
        return replace(self, **moved)

    def digest(self) -> str:
        """Return what tells these inputs and labels from others."""
        return digest_of((self.x_train, self.y_train, self.x_test, self.y_test))


@dataclass(frozen=True, eq=False)
class Dataset(Examples):
    """Labelled images for training and testing, whole, on one device.

    Attributes
    ----------
    name : what it is called.
    x_train, x_test : (n, channels, height, width) images as bytes.
    y_train, y_test : (n,) labels from 0 to classes − 1.
    classes : number of classes.
    mean, std : (channels,) of the training images, in units of the bytes. A channel that is
        constant counts as having standard deviation 1.
    """

    name: str
    x_train: UInt8[Tensor, "n channels height width"]
    y_train: Int64[Tensor, " n"]
    x_test: UInt8[Tensor, "m channels height width"]
    y_test: Int64[Tensor, " m"]
    classes: int
    mean: Float[Tensor, " channels"]
    std: Float[Tensor, " channels"]

    @classmethod
    def of(
        cls,
        name: str,
        x_train: UInt8[Tensor, "n channels height width"],
        y_train: Int64[Tensor, " n"],
        x_test: UInt8[Tensor, "m channels height width"],
        y_test: Int64[Tensor, " m"],
        classes: int,
    ) -> "Dataset":
        """Return the data set of these images, with the mean and deviation of its channels.

        Raises
        ------
        TypeError, ValueError
            If images are not bytes or labels not 64-bit integers, shapes disagree, a part is empty
            or a label is not a class.
        """
        classes = _checks.integer("classes", classes, at_least=1)
        for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
            if x.dtype != torch.uint8 or y.dtype != torch.int64:
                raise TypeError(
                    f"x_{part} must be uint8 and y_{part} int64, got {x.dtype} and {y.dtype}"
                )
            if x.ndim != 4 or x.numel() == 0 or y.shape != x.shape[:1]:
                raise ValueError(
                    f"x_{part} must have shape (n, channels, height, width) and y_{part} (n,), "
                    f"got {tuple(x.shape)} and {tuple(y.shape)}"
                )
            _check_range(f"y_{part}", y, classes)
        if x_train.shape[1:] != x_test.shape[1:]:
            raise ValueError(
                f"training and test images must have one shape, got {tuple(x_train.shape[1:])} "
                f"and {tuple(x_test.shape[1:])}"
            )
        mean, std = _mean_and_std(x_train)
        return cls(name, x_train, y_train, x_test, y_test, classes, mean, std)

    @property
    def size(self) -> dict[str, int]:
        """The number of channels."""
        return {"channels": self.x_train.shape[1]}

    def normalise(
        self, images: Shaped[Tensor, "n channels height width"]
    ) -> Float[Tensor, "n channels height width"]:
        """Return (images − mean)/std, channel by channel, in single precision."""
        return (images - self.mean[:, None, None]) / self.std[:, None, None]


@dataclass(frozen=True, eq=False)
class Sequences(Examples):
    """Sequences of tokens for training and testing, each labelled by the token that comes next.

    Attributes
    ----------
    name : what it is called.
    x_train, x_test : (n, context) tokens from 0 to classes − 1.
    y_train, y_test : (n, context), of each token the one that follows.
    classes : number of tokens.
    """

    x_train: Int64[Tensor, "n context"]
    y_train: Int64[Tensor, "n context"]
    x_test: Int64[Tensor, "m context"]
    y_test: Int64[Tensor, "m context"]

    @classmethod
    def of(
        cls,
        name: str,
        train: Int64[Tensor, " characters"],
        test: Int64[Tensor, " characters"],
        *,
        context: int,
        classes: int,
    ) -> "Sequences":
        """Return two texts cut into sequences, one after the other; what is left over is left out.

        Parameters
        ----------
        name : what it is called.
        train, test : the texts' tokens, from 0 to classes − 1.
        context : length of a sequence.
        classes : number of tokens.

        Raises
        ------
        TypeError, ValueError
            If tokens are not 64-bit integers, or out of their range, or a text has fewer than
            context + 1 of them.
        """
        context = _checks.integer("context", context, at_least=1)
        classes = _checks.integer("classes", classes, at_least=1)
        parts: list[Tensor] = []
        for part, tokens in (("train", train), ("test", test)):
            if tokens.dtype != torch.int64:
                raise TypeError(f"{part} must be int64, got {tokens.dtype}")
            if tokens.ndim != 1 or len(tokens) <= context:
                raise ValueError(
                    f"{part} must be one row of more than {context} tokens, "
                    f"got shape {tuple(tokens.shape)}"
                )
            _check_range(part, tokens, classes)
            used = (len(tokens) - 1) // context * context
            parts += [tokens[start : start + used].view(-1, context) for start in (0, 1)]
        x_train, y_train, x_test, y_test = parts
        return cls(name, x_train, y_train, x_test, y_test, classes)

    @property
    def size(self) -> dict[str, int]:
        """The length of the sequences."""
        return {"context": self.x_train.shape[1]}

    def normalise(self, inputs: Int64[Tensor, "n context"]) -> Int64[Tensor, "n context"]:
        """Return the tokens as they are."""
        return inputs


def _check_range(name: str, labels: Tensor, classes: int) -> None:
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"{name} must lie in 0, …, {classes - 1}, "
            f"got labels from {int(labels.min())} to {int(labels.max())}"
        )


def digest_of(tensors: Iterable[Tensor]) -> str:
    """Return what tells these tensors, in this order, from others."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _mean_and_std(images: Tensor) -> tuple[Tensor, Tensor]:
    # From counts of the 256 values: exact whatever the number of images, and the same on every
    # machine.
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]
    weights = torch.stack(counts).double()
    weights /= weights.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64, device=images.device)
    mean = weights @ values
    std = (weights * (values - mean[:, None]) ** 2).sum(1).sqrt()
    std[std == 0] = 1.0
    return mean.float(), std.float()


def augment(
    images: Shaped[Tensor, "n channels height width"],
    generator: torch.Generator,
    *,
    padding: int = 4,
    flips: bool = True,
) -> Shaped[Tensor, "n channels height width"]:
    """Pad each image by zeros on every side, crop it back at random, flip every other one.

    With a padding of 4 the 81 positions are equally likely, and a flip from left to right has
    probability 1/2; each image draws its own. Given bytes, the padding is black, as in the usual
    transforms.

    Parameters
    ----------
    images : of any type, on any device.
    generator : decides the draws; it may live on another device than the images, so that one on
        the CPU gives the same crops everywhere.
    padding : pixels on every side.
    flips : whether to flip: not what reads another way then, such as letters.

    Raises
    ------
    ValueError
        If the images don't have four dimensions.
    """
    if images.ndim != 4:
        raise ValueError(
            f"images must have shape (n, channels, height, width), got {tuple(images.shape)}"
        )
    n, channels, height, width = images.shape

    def draw(ends: int, *shape: int) -> Tensor:
        drawn = torch.randint(ends, shape, generator=generator, device=generator.device)
        return drawn.to(images.device)

    top, left = draw(2 * padding + 1, 2, n, 1)
    flip = flips & (draw(2, n, 1) == 1)
    rows = top + torch.arange(height, device=images.device)
    columns = left + torch.arange(width, device=images.device)
    columns = torch.where(flip, columns.flip(1), columns)
    pixels = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    padded = torch.nn.functional.pad(images, (padding,) * 4).flatten(2)
    return padded.gather(2, pixels.flatten(1)[:, None].expand(-1, channels, -1)).view_as(images)


def permutation(n: int, seed: int, epoch: int) -> Int64[Tensor, " n"]:
    """Return the order in which an epoch visits n examples: a function of seed and epoch alone.

    Examples
    --------
    >>> permutation(5, seed=0, epoch=0).tolist() == permutation(5, seed=0, epoch=0).tolist()
    True
    """
    n = _checks.integer("n", n, at_least=1)
    seed = _checks.integer("seed", seed, at_least=0, at_most=math.inf)
    epoch = _checks.integer("epoch", epoch, at_least=0)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch,)))
    return torch.from_numpy(rng.permutation(n))
