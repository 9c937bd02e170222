"""Tensors in safetensors files that carry a digest of all that they hold."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

__all__ = ["read", "to_bytes"]


def to_bytes(tensors: Mapping[str, Tensor], state: str = "") -> bytes:
    """Return the content of a file that holds tensors, and a digest in its header.

    Parameters
    ----------
    tensors : on any device, in any memory format; they are stored contiguously.
    state : a text to keep with them, which the digest covers.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"digest": _digest(stored, state)} | ({"state": state} if state else {})
    return save(stored, header)


def read(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Return the tensors of a file, on the CPU, and the text with them.

    Files that others have made carry no digest: then the text is None.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged: its digest is not that of its content, or it can't be read at all.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if "digest" not in header:
        return tensors, None
    state = header.get("state", "")
    if _digest(tensors, state) != header["digest"]:
        raise ValueError(f"{path} is damaged: its content is not what was written")
    return tensors, state


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
