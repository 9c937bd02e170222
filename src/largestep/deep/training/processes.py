"""Where a process trains, and which share of each batch: alone, or one of several by torchrun."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Place", "is_first", "memory_format", "place"]

_STEPS_BETWEEN_AGREEMENTS = 10


@dataclass(frozen=True)
class Place:
    """A process's device and its rank among all processes of the run."""

    device: torch.device
    rank: int = 0
    processes: int = 1

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """Return this process's part of a batch."""
        return batch.tensor_split(self.processes)[self.rank] if self.processes > 1 else batch

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean over the processes."""
        if self.processes > 1:
            value = value / self.processes
            distributed.all_reduce(value)
        return value

    def agree(self, flag: bool, step: int) -> bool:
        """Return whether any process has raised its flag; several ask each other now and then."""
        if self.processes == 1:
            return flag
        if step % _STEPS_BETWEEN_AGREEMENTS:
            return False
        raised = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(raised)
        return bool(raised)

    def environment(self) -> dict[str, Any]:
        """Return what may change a run's bits, but not what it is."""
        return {
            "PyTorch": torch.__version__,
            "device": self.device.type,
            "processes": self.processes,
            "threads": torch.get_num_threads(),
        }

    def wait(self) -> None:
        """Wait for all processes."""
        if self.processes > 1:
            distributed.barrier()

    def settle(self, model: nn.Module) -> nn.Module:
        """Return the model on the device, in the memory format that suits it there."""
        if self.processes > 1 and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return model.to(  # type: ignore[call-overload]
            self.device, memory_format=memory_format(model, self.device)
        )

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return what averages the gradients over the processes; the model itself if alone."""
        return DistributedDataParallel(model) if self.processes > 1 else model


def memory_format(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the memory format in which the model's convolutions are fast on the device.

    That is channels last, unless there are none, or where oneDNN, which computes them on the CPU,
    would write beyond its memory: in the backward pass of a strided 1 × 1 convolution of fewer than
    16 channels (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    unsafe = device.type == "cpu" and any(
        c.kernel_size == (1, 1) and c.stride != (1, 1) and c.in_channels < 16 for c in convolutions
    )
    return torch.contiguous_format if unsafe or not convolutions else torch.channels_last


def is_first() -> bool:
    """Return whether this is the only process, or the first of those that torchrun launched."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def place(device: str) -> Iterator[Place]:
    """Yield this process's place, and join the others if torchrun launched it.

    Parameters
    ----------
    device : "auto" (a GPU if there is one), or as PyTorch names it.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    try:
        chosen = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        )
        if chosen.type not in ("cpu", "cuda"):
            raise RuntimeError("no other kind is known to work")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device must be auto, cpu, cuda or cuda:N, got {device!r}: {error}"
        ) from None
    if not distributed.is_torchelastic_launched():
        with _fastest_convolutions(chosen):
            yield Place(chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        if chosen.type == "cuda":
            chosen = torch.device("cuda", distributed.get_node_local_rank())
            torch.cuda.set_device(chosen)
        with _fastest_convolutions(chosen):
            yield Place(chosen, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


@contextmanager
def _fastest_convolutions(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        yield
