"""Arrays in one file that only grows: what was written together is there whole, or not at all."""

import fcntl
import hashlib
import io
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import numpy as np

__all__ = ["Journal", "damage"]

_HEADER = struct.Struct("<8s16sQ16s")
_MAGIC = b"lsblock\n"
_VOID = bytes(16)
"""The key of a block that was damaged and is done with."""
_SECONDS_BETWEEN_SYNCS = 1.0


class Journal:
    """A file of blocks, written by one process as they arrive and read again after its death.

    A kill loses nothing that was appended; a power cut no more than the last second. A block has a
    header with its length and a digest: what was cut off is removed, what is damaged passed over,
    each with a line that says so.

    Parameters
    ----------
    path : of the file.
    key : of what decides the numbers: blocks under another stay in the file and are not read.

    Raises
    ------
    OSError
        If the file can't be written to, another process is writing to it, or it is a link: that
        could lead anywhere.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, _digest(key.encode())
        only = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(path, only, 0o666), "r+b")
        self._synced = 0.0
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise OSError(f"another process is writing to {path}: name another folder") from None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            os.fdatasync(self._file.fileno())
        finally:
            self._file.close()

    def append(self, *arrays: np.ndarray) -> None:
        """Write a block of arrays."""
        stream = io.BytesIO()
        for array in arrays:
            np.lib.format.write_array(stream, array, allow_pickle=False)
        block = stream.getvalue()
        self._file.seek(0, os.SEEK_END)
        self._file.write(_HEADER.pack(_MAGIC, self._key, len(block), _digest(block)) + block)
        self._file.flush()
        # At hundreds of blocks a second the disk would set the pace.
        if time.monotonic() - self._synced > _SECONDS_BETWEEN_SYNCS:
            os.fdatasync(self._file.fileno())
            self._synced = time.monotonic()

    def read(self) -> Iterator[list[np.ndarray]]:
        """Yield the blocks under the key, in the order of their writing."""
        for at, state, block in _blocks(self._file, self._key):
            if state == "whole":
                yield _arrays(block)
            elif state == "damaged":
                print(f"{self._path} has a damaged block; computing it again", file=sys.stderr)
                self._file.seek(at + len(_MAGIC))
                self._file.write(_VOID)
            else:
                self._cut(at)

    def _cut(self, at: int) -> None:
        print(f"{self._path} has half a block at its end, which is removed", file=sys.stderr)
        self._file.truncate(at)


def damage(path: Path) -> tuple[int, bool]:
    """Return how many blocks are not what was written, and whether half of one ends the file.

    Nothing is changed, and nothing waited for: there may be a writer, who is half way.
    """
    with path.open("rb") as file:
        states = [state for _, state, _ in _blocks(file)]
    return states.count("damaged"), "half" in states


def _blocks(
    file: BinaryIO, key: bytes | None = None
) -> Iterator[tuple[int, Literal["whole", "damaged", "half"], bytes]]:
    """Yield the blocks under a key, or all, each with its place; half a block is the last."""
    size, at = os.fstat(file.fileno()).st_size, 0
    while at < size:
        file.seek(at)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            yield at, "half", b""
            return
        _, its_key, length, digest = _HEADER.unpack(header)
        if at + _HEADER.size + length > size:
            yield at, "half", b""
            return
        if its_key != _VOID and key in (None, its_key):
            block = file.read(length)
            yield at, "whole" if _digest(block) == digest else "damaged", block
        at += _HEADER.size + length


def _arrays(block: bytes) -> list[np.ndarray]:
    stream = io.BytesIO(block)
    arrays = []
    while stream.tell() < len(block):
        arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
    return arrays


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:16]
