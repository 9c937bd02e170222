"""CIFAR-10 and CIFAR-100 in their official binary format (A. Krizhevsky, 2009).

A file is a row of records of equal length: a byte for each label, then 32 × 32 pixels of red, of
green and of blue, row by row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from largestep.deep.data.archives import Archive

__all__ = ["CIFAR10", "CIFAR100", "Cifar"]

_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets.

    Attributes
    ----------
    archive : where it comes from.
    train, test : names of the files, each with so many records.
    labels : number of values of each label of a record; the last label is the class.
    """

    archive: Archive
    train: dict[str, int]
    test: dict[str, int]
    labels: tuple[int, ...]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.labels[-1]

    def read(self, folder: Path, *, download: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return images and labels for training, then for testing.

        Raises
        ------
        OSError, ValueError
            If the data are missing, or not in the format; the message names the file.
        """
        with self.archive.opened(folder, download=download) as read:
            return (*self._part(read, self.train), *self._part(read, self.test))

    def _part(self, read: Callable[[str], bytes], files: dict[str, int]) -> tuple[Tensor, Tensor]:
        records = np.concatenate(
            [self._records(name, read(name), number) for name, number in files.items()]
        )
        images = records[:, len(self.labels) :].reshape(-1, *_SHAPE)
        labels = records[:, len(self.labels) - 1].astype(np.int64)
        return torch.from_numpy(images.copy()), torch.from_numpy(labels)

    def _records(self, name: str, content: bytes, number: int) -> np.ndarray:
        length = len(self.labels) + int(np.prod(_SHAPE))
        if len(content) != number * length:
            raise ValueError(
                f"{self.archive.root}/{name} has {len(content)} bytes, expected {number * length}: "
                f"{number} records of {length}"
            )
        records = np.frombuffer(content, dtype=np.uint8).reshape(number, length)
        for position, values in enumerate(self.labels):
            wrong = np.flatnonzero(records[:, position] >= values)
            if wrong.size:
                raise ValueError(
                    f"{self.archive.root}/{name} has label {records[wrong[0], position]} in record "
                    f"{wrong[0]}, expected 0 to {values - 1}"
                )
        return records


CIFAR10 = Cifar(
    Archive(
        title="CIFAR-10",
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        size=170_052_171,
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        root="cifar-10-batches-bin",
        pickled=("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    ),
    train={f"data_batch_{number}.bin": 10_000 for number in range(1, 6)},
    test={"test_batch.bin": 10_000},
    labels=(10,),
)

CIFAR100 = Cifar(
    Archive(
        title="CIFAR-100",
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        size=168_513_733,
        md5="03b5dce01913d631647c71ecec9e9cb8",
        root="cifar-100-binary",
        pickled=("cifar-100-python", "cifar-100-python.tar.gz"),
    ),
    train={"train.bin": 50_000},
    test={"test.bin": 10_000},
    labels=(20, 100),
)
