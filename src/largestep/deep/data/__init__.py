"""Data held whole on a device: digits, glyphs, CIFAR-10, CIFAR-100, Tiny ImageNet, and text."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from largestep import _checks
from largestep.deep.data.cifar import CIFAR10, CIFAR100
from largestep.deep.data.dataset import Dataset, Examples, Sequences, augment, permutation
from largestep.deep.data.glyphs import Glyphs
from largestep.deep.data.named import Named
from largestep.deep.data.text import CHARACTERS, Text
from largestep.deep.data.tiny_imagenet import TINY_IMAGENET

__all__ = [
    "NAMES",
    "Dataset",
    "Examples",
    "Glyphs",
    "Sequences",
    "Text",
    "augment",
    "load",
    "permutation",
]


class _Source(Protocol):
    """Where images come from."""

    @property
    def classes(self) -> int: ...

    def read(self, folder: Path, *, download: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...


@dataclass(frozen=True)
class _Digits:
    """The 1797 handwritten digits that come with scikit-learn, 8 × 8, with values 0 to 16.

    1000 for training and 797 for testing, with the classes in proportion.
    """

    classes: int = 10

    def read(self, folder: Path, *, download: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        x = torch.from_numpy(digits.images.astype(np.uint8))[:, None]
        y = torch.from_numpy(digits.target.astype(np.int64))
        train, test = train_test_split(
            np.arange(len(y)), train_size=1000, stratify=digits.target, random_state=0
        )
        return x[train], y[train], x[test], y[test]


_SOURCES: dict[str, _Source | Text] = {
    "digits": _Digits(),
    "glyphs": Glyphs(),
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "tiny-imagenet": TINY_IMAGENET,
    "text": Text(),
}

NAMES = tuple(_SOURCES)
"""The data sets that `load` knows."""


def load(
    name: str,
    folder: str | Path | None = None,
    *,
    train: int | None = None,
    download: bool = False,
    **settings: Any,
) -> Dataset | Sequences:
    """Return a data set, read from scikit-learn or from its official archive, or made.

    Parameters
    ----------
    name : one of `NAMES`. "digits" are scikit-learn's 1797 digits of 8 × 8 pixels, of which 797,
        always the same, are for testing. Tiny ImageNet is tested on its validation images.
        "glyphs" are letters, made as the settings of `Glyphs` say; the name may hold them too, as
        in "glyphs:classes=36,noise=0.1", and that of the data set does. "text" is written by a
        grammar, as the settings of `Text` say, and cut into `Sequences`.
    folder : holds the archive as published, or what it unpacks to; by default the current folder.
        Digits and text need none. Glyphs, once made, are kept there, or in the user's folder of
        caches.
    train : keep so many training images, or sequences, always the same random ones; by default
        all, in order.
    download : whether to fetch a missing archive into the folder. Nothing else uses the network.

    Raises
    ------
    FileNotFoundError
        If the data are missing, or the fonts; the message says what to get, from where, and where
        to put it.
    OSError
        If a file can't be read, or a download fails.
    TypeError, ValueError
        If no data set has the name, or it has no such settings, there are fewer training images,
        or a file is damaged, incomplete or not the published one; the message names it.

    Notes
    -----
    Archives are read in memory, never unpacked. CIFAR must be the binary version: the Python
    version consists of pickles, which can run any code when read. The first reading of Tiny
    ImageNet decodes 110 000 images and keeps them beside the data.

    Examples
    --------
    >>> digits = load("digits", train=500)
    >>> tuple(digits.x_train.shape), tuple(digits.x_test.shape)
    ((500, 1, 8, 8), (797, 1, 8, 8))
    """
    kind = name.partition(":")[0]
    if kind not in _SOURCES:
        raise ValueError(f"no data set is called {name!r}: choose from {', '.join(NAMES)}")
    source = _SOURCES[kind]
    usual = Path()
    if isinstance(source, Named):
        source = source.named(name, **settings)
        name, usual = source.name, source.folder
    elif settings or name != kind:
        raise ValueError(f"{kind} has no settings, got {name!r} with {settings}")
    if isinstance(source, Text):
        whole = Sequences.of(
            name, *source.tokens(), context=source.context, classes=len(CHARACTERS)
        )
        kept = _kept(len(whole.x_train), train, name)
        return replace(whole, x_train=whole.x_train[kept], y_train=whole.y_train[kept])
    x, y, x_test, y_test = source.read(Path(folder or usual).resolve(), download=download)
    kept = _kept(len(x), train, name)
    return Dataset.of(name, x[kept], y[kept], x_test, y_test, source.classes)


def _kept(n: int, train: int | None, name: str) -> Tensor | slice:
    """Return which training examples are kept."""
    if train is None or _checks.integer("train", train, at_least=1) == n:
        return slice(None)
    if train > n:
        raise ValueError(f"train must be at most {n} for {name}, got {train}")
    return permutation(n, seed=0, epoch=0)[:train]
