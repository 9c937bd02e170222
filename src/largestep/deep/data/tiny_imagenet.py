"""Tiny ImageNet: 200 classes of ImageNet at 64 × 64 (Stanford CS231n).

The official archive holds JPEG files, some of them greyscale; the test images come without labels,
so that the validation images are the test set, as is usual. Decoded once, they are kept as bytes
in one file beside the data.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from largestep import _files
from largestep.deep import weights
from largestep.deep.data.archives import Archive

__all__ = ["TINY_IMAGENET", "TinyImageNet"]


@dataclass(frozen=True)
class TinyImageNet:
    """The data set.

    Attributes
    ----------
    archive : where it comes from.
    classes : number of classes, which are numbered in the order of their WordNet identifiers.
    train, test : number of images of each class, and of all classes.
    """

    archive: Archive
    classes: int
    train: int
    test: int

    def read(self, folder: Path, *, download: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return images and labels for training, then for testing.

        Raises
        ------
        OSError, ValueError
            If the data are missing, or not in the format; the message names the file.
        """
        cache = folder / f"{self.archive.root}.safetensors"
        names = ("x_train", "y_train", "x_test", "y_test")
        if cache.is_file():
            try:
                tensors, made_of = weights.read(cache)
                self._check(tensors, made_of)
            except ValueError as error:
                raise ValueError(
                    f"{cache} is not what largestep has made of the archive ({error}): delete it, "
                    "so that it is made again"
                ) from None
            return tuple(tensors[name] for name in names)  # type: ignore[return-value]
        with self.archive.opened(folder, download=download) as read:
            parts = self._decoded(read)
        try:
            tensors = dict(zip(names, parts, strict=True))
            _files.write_bytes(cache, weights.to_bytes(tensors, self.archive.md5))
        except OSError as error:
            warnings.warn(f"the decoded images could not be kept in {cache}: {error}", stacklevel=2)
        return parts

    def _check(self, tensors: Mapping[str, Tensor], made_of: str | None) -> None:
        if made_of != self.archive.md5:
            raise ValueError("it does not say so, or was made of another")
        numbers = {"train": self.classes * self.train, "test": self.test}
        for part, number in numbers.items():
            shapes = {f"x_{part}": (number, 3, 64, 64), f"y_{part}": (number,)}
            for name, shape in shapes.items():
                found = tuple(tensors[name].shape) if name in tensors else None
                if found != shape:
                    raise ValueError(f"{name} must have shape {shape}, got {found}")

    def _decoded(self, read: Callable[[str], bytes]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        identifiers = self._identifiers(read)
        train = [
            (f"train/{identifier}/images/{identifier}_{number}.JPEG", label)
            for label, identifier in enumerate(identifiers)
            for number in range(self.train)
        ]
        test = self._annotated(read, identifiers)
        return (*self._part(read, train), *self._part(read, test))

    def _identifiers(self, read: Callable[[str], bytes]) -> list[str]:
        found = sorted(set(read("wnids.txt").decode("ascii", "replace").split()))
        if len(found) != self.classes or not all(re.fullmatch(r"n\d{8}", name) for name in found):
            raise ValueError(
                f"{self.archive.root}/wnids.txt must list {self.classes} WordNet identifiers such "
                f"as n01443537, got {len(found)} entries, the first {found[:1]}"
            )
        return found

    def _annotated(
        self, read: Callable[[str], bytes], identifiers: list[str]
    ) -> list[tuple[str, int]]:
        file = "val/val_annotations.txt"
        labels = {identifier: label for label, identifier in enumerate(identifiers)}
        images = []
        for line in read(file).decode("ascii", "replace").splitlines():
            image, identifier = (*line.split(), "", "")[:2]
            if not re.fullmatch(r"\w+\.JPEG", image) or identifier not in labels:
                raise ValueError(
                    f"{self.archive.root}/{file} must name an image and its class in each line, "
                    f"got {line!r}"
                )
            images.append((f"val/images/{image}", labels[identifier]))
        if len(images) != self.test:
            raise ValueError(
                f"{self.archive.root}/{file} has {len(images)} lines, expected {self.test}"
            )
        return images

    def _part(
        self, read: Callable[[str], bytes], images: list[tuple[str, int]]
    ) -> tuple[Tensor, Tensor]:
        pixels = np.empty((len(images), 3, 64, 64), dtype=np.uint8)
        for index, (name, _) in enumerate(images):
            pixels[index] = self._pixels(name, read(name))
        return torch.from_numpy(pixels), torch.tensor([label for _, label in images])

    def _pixels(self, name: str, content: bytes) -> np.ndarray:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                if image.size != (64, 64):
                    raise ValueError(
                        f"{self.archive.root}/{name} must be an image of 64 × 64 pixels, got "
                        f"{image.width} × {image.height}"
                    )
                return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
        except ValueError:
            raise
        except Exception as error:  # a damaged image raises nearly anything
            raise ValueError(f"{self.archive.root}/{name} is damaged: {error}") from None


TINY_IMAGENET = TinyImageNet(
    Archive(
        title="Tiny ImageNet",
        url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        size=248_100_043,
        md5="90528d7ca1a48142e341f4ef8d21d0de",
        root="tiny-imagenet-200",
    ),
    classes=200,
    train=500,
    test=10_000,
)
