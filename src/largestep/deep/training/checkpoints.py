"""Checkpoints that survive a kill at any moment: one file, checked, with its predecessor kept.

A checkpoint is *one* safetensors file. Tensors are what they are; all else is JSON in the file's
header, beside a digest of everything, so that nothing can come from two moments of training and
no damage goes unseen.
"""

import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from largestep import _files
from largestep.deep import weights

__all__ = ["Stop", "delete", "load", "save", "stopping"]

_LATEST, _PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"


def save(folder: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
    """Write a checkpoint; the one before it is kept.

    At every moment the folder holds the latest complete checkpoint under one of two names,
    whether the process is killed or the power goes.

    Parameters
    ----------
    tensors : on any device, in any memory format; they are stored contiguously.
    state : whatever JSON can hold. Floats come back as the same bits, NaN and infinity too.

    Raises
    ------
    OSError
        If it can't be written, as on a full disk. What the folder held is still there.
    """
    content = weights.to_bytes(tensors, json.dumps(state))

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)
        _files.sync(temporary)
        if (folder / _LATEST).exists():
            (folder / _LATEST).replace(folder / _PREVIOUS)

    try:
        _files.atomically(folder / _LATEST, write)
    except OSError as error:
        raise OSError(f"{error}; what was saved before is still there") from error


def load(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Return the tensors (on the CPU) and the state of the latest checkpoint, None without one.

    If it is damaged, the one before it is taken, and a line on standard error says so.

    Raises
    ------
    ValueError
        If there is none that isn't damaged.
    """
    damage = []
    for name in (_LATEST, _PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            found = _read(path)
        except ValueError as error:
            damage.append(str(error))
            continue
        if damage:
            print(f"{damage[0]}; going on from the one before it", file=sys.stderr)
            # Or the next to be saved would push out the good one for the damaged one.
            path.replace(folder / _LATEST)
        return found
    if damage:
        raise ValueError(
            f"{'; '.join(damage)}; there is no other: delete {folder} to start from the beginning"
        )
    return None


def delete(folder: Path) -> None:
    """Delete the folder's checkpoints."""
    for name in (_LATEST, _PREVIOUS):
        (folder / name).unlink(missing_ok=True)


class Stop:
    """Whether a signal has asked to stop.

    Attributes
    ----------
    signal : which one; None while none has.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None


@contextmanager
def stopping() -> Iterator[Stop]:
    """Let the first SIGTERM or SIGINT set a flag in place of ending the process.

    A second one acts as it would have without this. Outside the main thread, where signals can't
    be handled, the flag never rises.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        stop.signal = signal.Signals(number)
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, state = weights.read(path)
    if not state:
        raise ValueError(f"{path} is no checkpoint of largestep")
    return tensors, json.loads(state)
