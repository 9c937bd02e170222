"""Batches of inputs: how many they hold, copies of the first, a loader that notices nothing."""

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from largestep.deep._untouched import device_of, random_states_restored

__all__ = [
    "Batch",
    "checked",
    "count_inputs",
    "cut",
    "fingerprint",
    "flattened",
    "is_pair",
    "labelled",
    "loader_restored",
    "mapped",
    "moved",
    "part",
    "take",
]

Batch = Any
"""A tensor, a tuple or list whose first entry is the input, or a dictionary of arguments."""


def take(batches: Iterable[Batch] | Tensor, count: int) -> list[Batch]:
    """Return copies of the first `count` inputs, in their batches.

    Random states stay as they were, as do those of a `DataLoader`: its generators and workers.

    Raises
    ------
    TypeError
        If these are no batches, or a batch is not a tensor, tuple, list or dictionary that holds
        tensors.
    ValueError
        If there is no input.

    Warns
    -----
    RuntimeWarning
        If they can be gone through only once: what is taken is missing for whoever goes on.
    """
    batches = checked("batches", batches)
    if isinstance(batches, Iterator):
        warnings.warn(
            f"batches can be gone through only once ({type(batches).__name__}): those that are "
            "taken, training does not see. Give a list or a DataLoader",
            RuntimeWarning,
            stacklevel=3,
        )
    taken: list[Batch] = []
    left = count
    with random_states_restored(), loader_restored(batches) as read:
        for batch in read:
            size = min(count_inputs(batch), left)
            if size > 0:
                taken.append(part(batch, 0, size))
            left -= size
            if left == 0:
                break
    if not taken:
        raise ValueError("batches must hold at least one input, got none")
    return taken


def checked(name: str, batches: Any) -> Iterable[Batch]:
    """Return batches, of which one tensor is one, or say what else was given.

    Raises
    ------
    TypeError
        If they are a data set, inputs and targets that are no batch yet, or nothing to go through.
    """
    if isinstance(batches, Tensor):
        return [batches]
    if isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        raise TypeError(
            f"{name} must be batches, got a data set of single examples "
            f"({type(batches).__name__}): wrap it in a DataLoader"
        )
    if (
        isinstance(batches, (tuple, list))
        and len(batches) == 2
        and all(isinstance(part, Tensor) and part.ndim > 0 for part in batches)
        and len(batches[0]) == len(batches[1])
        and (batches[0].shape[1:], batches[0].dtype) != (batches[1].shape[1:], batches[1].dtype)
    ):
        raise TypeError(
            f"{name} must be batches, got inputs and targets of shapes {tuple(batches[0].shape)} "
            f"and {tuple(batches[1].shape)}: write [(inputs, targets)]"
        )
    if not isinstance(batches, Iterable):
        raise TypeError(
            f"{name} must be batches, as a list of tensors or a DataLoader, got "
            f"{type(batches).__name__}"
        )
    return batches


def flattened(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        yield value
        return
    for entry in value:
        yield from flattened(entry)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(entry, change) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [mapped(entry, change) for entry in value]
    return value


def moved(batch: Batch, model: nn.Module) -> Batch:
    """Return a copy on the model's device: models may change their inputs in place."""
    return mapped(batch, lambda x: x.to(device_of(model), copy=True))


def part(batch: Batch, first: int, last: int) -> Batch:
    """Return a copy of a batch from one input to before another, and of what has no rows."""
    size = count_inputs(batch)
    return mapped(
        batch, lambda x: (x[first:last] if x.ndim > 0 and len(x) == size else x).detach().clone()
    )


def cut(batches: Sequence[Batch], size: int) -> list[Batch]:
    """Return pieces of so many inputs, each from within one batch; what is left over is dropped."""
    return [
        part(batch, first, first + size)
        for batch in batches
        for first in range(0, count_inputs(batch) - size + 1, size)
    ]


def is_pair(batch: Batch) -> bool:
    """Return whether a batch is two tensors, such as inputs and targets."""
    return (
        isinstance(batch, (tuple, list))
        and len(batch) == 2
        and all(isinstance(entry, Tensor) for entry in batch)
    )


def labelled(batch: Batch) -> tuple[Any, Tensor]:
    """Return inputs and targets: a pair of tensors, or a dictionary of arguments and its labels.

    Raises
    ------
    TypeError
        If the batch is neither.
    """
    if isinstance(batch, Mapping) and isinstance(batch.get("labels"), Tensor):
        return batch, batch["labels"]
    if is_pair(batch):
        return batch[0], batch[1]
    raise TypeError(
        "a batch must be a pair of tensors (inputs, targets), or a dictionary of the "
        f"model's arguments with labels, got {type(batch).__name__}"
        + (f" of {len(batch)}" if isinstance(batch, (tuple, list)) else "")
    )


def fingerprint(batches: Sequence[Batch]) -> str:
    """Return a digest of the tensors in batches: whether two have the same inputs."""
    found = hashlib.sha256()
    for value in flattened(list(batches)):
        if isinstance(value, Tensor):
            held = value.detach().cpu().contiguous()
            found.update(f"{held.dtype}{tuple(held.shape)}".encode())
            found.update(held.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:32]


def count_inputs(batch: Batch) -> int:
    for value in flattened(batch):
        if isinstance(value, Tensor) and value.ndim > 0:
            return len(value)
    raise TypeError(
        "a batch must be a tensor, or a tuple, list or dictionary whose first tensor is the "
        f"input, got {type(batch).__name__}"
    )


@contextmanager
def loader_restored(batches: Iterable[Batch]) -> Iterator[Iterable[Batch]]:
    """Give batches to read from; if they are a loader, one whose use it does not notice."""
    if not isinstance(batches, DataLoader):
        yield batches
        return
    samplers = (batches.sampler, batches.batch_sampler)
    generators = {
        found
        for part in (batches, *samplers, getattr(batches.batch_sampler, "sampler", None))
        if isinstance(found := getattr(part, "generator", None), torch.Generator)
    }
    states = [(generator, generator.get_state()) for generator in generators]
    # Workers that persist belong to the loop that runs, or is to run.
    own = copy.copy(batches)
    own._iterator = None
    try:
        yield own
    finally:
        for generator, state in states:
            generator.set_state(state)
