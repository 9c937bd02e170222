"""Folders and files: written in one step, read whole or not at all, by one process at a time."""

import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "atomically",
    "clear",
    "digest",
    "exclusive",
    "prepare_folder",
    "read_bytes",
    "read_json",
    "seal",
    "sync",
    "temporaries",
    "unseal",
    "write_bytes",
    "write_json",
]

_TEMPORARY = re.compile(r"\..*-[0-9a-f]{32}(\.[^.]*)?")
"""What `atomically` calls a file that is not whole yet."""
_SEAL = b"\nlargestep sha256 %s\n"
"""What ends a sealed file: a digest of all that stands before it."""


def prepare_folder(path: Path) -> Path:
    """Make the folder if need be and see that files can be written to it.

    Raises
    ------
    OSError
        If it is a file, or cannot be made or written to; the message says which.
    """
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file: name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OSError(f"cannot write to the folder {path}: {error.strerror}") from error
    return path


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only process that writes to the folder, and clear what killed ones have left.

    The lock is the operating system's: it goes with the process, however that ends.

    Raises
    ------
    BlockingIOError
        If another process is writing to it.
    OSError
        If the lock is not a file of the folder's own: a link could lead anywhere.
    """
    path = folder / ".lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OSError(f"cannot lock {folder}: {path}: {error.strerror}") from error
    try:
        state = os.fstat(lock)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
            raise OSError(f"cannot lock {folder}: {path} is not a file of its own, delete it")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
            raise BlockingIOError(
                f"process {holder} is writing to {folder}: wait for it or name another folder"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        clear(folder)
        yield
    finally:
        os.close(lock)


def temporaries(folder: Path) -> list[Path]:
    """Return the files that writers have begun in a folder; without a writer they are litter."""
    return sorted(path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name))


def clear(folder: Path) -> None:
    """Delete what killed writers have left in a folder: nobody may be writing to it."""
    for left in temporaries(folder):
        left.unlink(missing_ok=True)


def atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Its content reaches the disk before its name does, and both before this returns: after a power
    cut, too, the file is the old one or the new one.

    Raises
    ------
    OSError
        If that fails, as on a full disk; the message names the file, which is as it was.
    """
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):  # what has failed is told, not what failed after it
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise type(error)(f"cannot write {path}: {error.strerror or error}") from error
        raise


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    atomically(path, lambda temporary: temporary.write_bytes(content))


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises
    ------
    OSError
        If it is missing, can't be read or is no regular file: a pipe would be waited for, and a
        device may have no end.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a regular file")
    return path.read_bytes()


def seal(content: bytes) -> bytes:
    """Return a file's content with a last line that tells any change of it."""
    return content + _SEAL % hashlib.sha256(content).hexdigest().encode()


def unseal(content: bytes) -> bytes:
    """Return what was sealed.

    Raises
    ------
    ValueError
        If it has no seal, or another one than its content should have.
    """
    length = len(content) - len(_SEAL % (b"0" * 64))
    sealed = content[: max(length, 0)]
    if seal(sealed) == content:
        return sealed
    if content[max(length, 0) :].startswith(_SEAL.partition(b"%")[0]):
        raise ValueError("its content is not what was written")
    raise ValueError("it does not end with a digest: it was cut short, or made by something else")


def write_json(path: Path, content: Any, *, sealed: bool = False) -> None:
    """Write JSON atomically, readable by people.

    Parameters
    ----------
    sealed : add a last entry to a dictionary, "digest", that tells any change of the others.
    """
    if sealed:
        read = json.loads(json.dumps(content))
        content = {**read, "digest": _digest_of(read)}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode())


def read_json(path: Path, *, sealed: bool = False) -> Any:
    """Read what `write_json` wrote, without its digest.

    Raises
    ------
    OSError
        If it can't be read.
    ValueError
        If it is not JSON, its digest is not that of its content, or it must have one and has
        none; the message names the file.
    """
    content = read_bytes(path)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    digest = found.pop("digest", None) if isinstance(found, dict) else None
    if digest is None and sealed:
        raise ValueError(f"{path} has no digest: it is damaged, or from an older version")
    if digest is not None and digest != _digest_of(found):
        raise ValueError(f"{path} is damaged: its content is not what was written")
    return found


def digest(path: Path) -> str:
    """Return a digest of a file's content."""
    return hashlib.sha256(read_bytes(path)).hexdigest()[:32]


def _digest_of(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
