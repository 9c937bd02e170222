"""Checkpoints that survive a kill at any moment: one file, checked, with its predecessor kept.

A checkpoint is *one* safetensors file. Tensors are what they are; all else is JSON in the file's
header, beside a digest of everything, so that nothing can come from two moments of training and
no damage goes unseen.
"""

import fcntl
import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import safetensors
import torch
from safetensors.torch import save as to_bytes

from largestep import _files

__all__ = ["Stop", "delete", "exclusive", "load", "save", "stopping"]

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
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(state)
    content = to_bytes(stored, {"state": text, "digest": _digest(stored, text)})

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)
        _files.sync(temporary)
        if (folder / _LATEST).exists():
            (folder / _LATEST).replace(folder / _PREVIOUS)

    try:
        _files.atomically(folder / _LATEST, write)
    except OSError as error:
        raise OSError(
            f"cannot write a checkpoint to {folder}: {error.strerror or error}; "
            "what was saved before is still there"
        ) from error


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
    """Delete the folder's checkpoints, and what writers that were killed have left."""
    for name in (_LATEST, _PREVIOUS):
        (folder / name).unlink(missing_ok=True)
    _sweep(folder)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only process that writes to the folder.

    The lock is the operating system's: it goes with the process, however that ends.

    Raises
    ------
    BlockingIOError
        If another process is writing to it.
    """
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise BlockingIOError(
                f"process {lock.read().strip() or 'unknown'} is training in {folder}: "
                "wait for it or name another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _sweep(folder)
        yield


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
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"the checkpoint {path} is damaged: {error}") from error
    if not {"state", "digest"} <= header.keys():
        raise ValueError(f"{path} is no checkpoint of largestep")
    if _digest(tensors, header["state"]) != header["digest"]:
        raise ValueError(f"the checkpoint {path} is damaged: its content is not what was written")
    return tensors, json.loads(header["state"])


def _digest(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sweep(folder: Path) -> None:
    for temporary in folder.glob(".checkpoint-*.safetensors"):
        temporary.unlink(missing_ok=True)
