"""What keeps a promise to leave no trace: modes, attributes, buffers and random states restored."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_flatten

from largestep.deep._held import Held, value_restorer

__all__ = [
    "attributes_restored",
    "device_of",
    "random_states_restored",
    "seed_all",
    "unrepeatable",
    "untouched",
    "unwrapped",
    "without_a_trace",
]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model that a compiled, data-parallel or distributed wrapper holds.

    Raises
    ------
    TypeError
        If it is not a module, is TorchScript, or its parameters are sharded over processes.
    ValueError
        If its parameters or buffers have no values yet.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    while True:
        if type(model).__name__.startswith(("FullyShardedDataParallel", "FSDP")):
            raise TypeError("model must hold all of its parameters, got one sharded by FSDP")
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(
            model, (nn.DataParallel, nn.parallel.DistributedDataParallel)
        ):
            inner = model.module
        if inner is None:
            break
        model = cast(nn.Module, inner)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError("model must be in Python, got TorchScript, whose layers cannot be watched")
    for name, held in chain(model.named_parameters(), model.named_buffers()):
        if is_lazy(held):
            raise ValueError(
                f"model must be initialised, but {name!r} has no shape yet: run it once on a batch"
            )
        if held.is_meta:
            raise ValueError(
                f"model must hold numbers, but {name!r} is on the meta device: load its weights"
            )
    return model


def device_of(model: nn.Module) -> torch.device:
    held = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if held is None else held.device


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Leave buffers, gradients, attributes and random states as they were found.

    Raises
    ------
    TypeError
        If the model holds what cannot be put back, before anything has happened; see `Held`.
    """
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    with ExitStack() as stack:
        for buffer in model.buffers():
            stack.callback(cast(Callable[[], object], value_restorer(buffer)))
        stack.enter_context(attributes_restored(model))
        stack.enter_context(random_states_restored(device_of(model)))
        for parameter, gradient in gradients:
            stack.callback(setattr, parameter, "grad", gradient)
            # A backward pass would add to what is there.
            parameter.grad = None
        yield


@contextmanager
def without_a_trace(model: nn.Module) -> Iterator[None]:
    """Evaluate, without gradients, compilation or autocast; afterwards all is as it was.

    Raises
    ------
    RuntimeError
        If the model has changed its own parameters, which are too large to be kept twice.
    """
    versions = {name: _version(p) for name, p in model.named_parameters()}
    with ExitStack() as stack:
        stack.enter_context(untouched(model))
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        # Autocast would keep weights that it casts here, without gradients, for training to use.
        device = device_of(model).type
        stack.enter_context(torch.autocast(device, enabled=False, cache_enabled=False))
        for module in model.modules():
            module.training = False
        yield
    for name, parameter in model.named_parameters():
        if name in versions and _version(parameter) != versions[name]:
            raise RuntimeError(
                f"the model changes its parameter {name!r} in forward, in evaluation mode too: "
                "what that did to it cannot be taken back. Do it in the training loop instead"
            )


def _version(parameter: Tensor) -> int:
    """Return how often it was changed in place; PyTorch does not count in inference mode."""
    return 0 if parameter.is_inference() else parameter._version


@contextmanager
def attributes_restored(model: nn.Module) -> Iterator[None]:
    """Leave what every module holds as it was found: mode, hooks, lists, what it has cached.

    Raises
    ------
    TypeError
        If it holds what cannot be put back, before anything has happened; see `Held`.
    """
    held = Held(model)
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        held.restore()
        for module, training in modes.items():
            module.training = training


@contextmanager
def random_states_restored(device: torch.device | None = None) -> Iterator[None]:
    """Leave the random states of Python, NumPy and PyTorch as they were found."""
    pythons, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002


def seed_all(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global random states."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def unrepeatable(model: nn.Module, run: Callable[[], object]) -> str | None:
    """Return the name of the first module whose outputs differ from one run to the next."""
    names = {module: name for name, module in model.named_modules()}
    runs: list[list[tuple[str, list[Tensor]]]] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if module in names:
            leaves = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]
            runs[-1].append((names[module], [leaf.clone() for leaf in leaves]))

    # Of all modules: a hook of the model's own would be put back to what it was, with all it notes.
    hook = register_module_forward_hook(note)
    try:
        for _ in range(2):
            runs.append([])
            run()
    finally:
        hook.remove()
    for (name, first), (_, second) in zip(*runs, strict=False):
        if not all(map(torch.equal, first, second)):
            return name
    return None
