"""Image data held whole on a device: digits, glyphs, CIFAR-10, CIFAR-100 and Tiny ImageNet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from largestep import _checks
from largestep.deep.data.cifar import CIFAR10, CIFAR100
from largestep.deep.data.dataset import Dataset, augment, permutation
from largestep.deep.data.glyphs import Glyphs
from largestep.deep.data.tiny_imagenet import TINY_IMAGENET

__all__ = ["NAMES", "Dataset", "Glyphs", "augment", "load", "permutation"]


class _Source(Protocol):
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


_SOURCES: dict[str, _Source] = {
    "digits": _Digits(),
    "glyphs": Glyphs(),
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "tiny-imagenet": TINY_IMAGENET,
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
) -> Dataset:
    """Return a data set, read from scikit-learn or from its official archive, or made.

    Parameters
    ----------
    name : one of `NAMES`. "digits" are scikit-learn's 1797 digits of 8 × 8 pixels, of which 797,
        always the same, are for testing. Tiny ImageNet is tested on its validation images.
        "glyphs" are letters, made as the settings of `Glyphs` say; the name may hold them too, as
        in "glyphs:classes=36,noise=0.1", and that of the data set does.
    folder : holds the archive as published, or what it unpacks to; by default the current folder.
        The digits need none. Glyphs, once made, are kept there, or in the user's folder of caches.
    train : keep so many training images, always the same random ones; by default all, in order.
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
    if isinstance(source, Glyphs):
        source = Glyphs.named(name, **settings)
        name, usual = source.name, source.folder
    elif settings or name != kind:
        raise ValueError(f"{kind} has no settings, got {name!r} with {settings}")
    x, y, x_test, y_test = source.read(Path(folder or usual).resolve(), download=download)
    if train is not None and _checks.integer("train", train, at_least=1) != len(x):
        if train > len(x):
            raise ValueError(f"train must be at most {len(x)} for {name}, got {train}")
        kept = permutation(len(x), seed=0, epoch=0)[:train]
        x, y = x[kept], y[kept]
    return Dataset.of(name, x, y, x_test, y_test, source.classes)
