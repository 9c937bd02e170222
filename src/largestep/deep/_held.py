"""What a model holds besides its parameters and buffers, noted so that it can be put back."""

import io
import random
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Held", "value_restorer"]

_PLAIN = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type, types.BuiltinFunctionType}
    | {torch.dtype, torch.device, torch.Size, nn.Parameter}
)
_MACHINERY = frozenset({"torch", "lightning", "pytorch_lightning", "lightning_fabric"})
"""Packages whose objects are not the model's own, even if its classes come from there."""

_OFTEN_EMPTY = frozenset({dict, OrderedDict, list, set})

_Restore = Callable[[], object]


class Held:
    """All that a forward pass may change in place, as it is now.

    Attributes of modules and what they contain: submodules, hooks, lists, dictionaries, sets,
    tensors, arrays, random generators, what hooks and other functions enclose; attributes of the
    modules' classes; objects of the packages that these classes are from. Not parameters and
    registered buffers. What lies elsewhere, such as a global variable, is not seen.

    Parameters
    ----------
    model : whose modules are gone through, those in lists too.

    Raises
    ------
    TypeError
        If something is held that cannot be put back: an iterator, once it has gone on.
    """

    def __init__(self, model: nn.Module) -> None:
        self._restore: list[_Restore] = []
        self._empty: list[Any] = []
        self._seen: dict[int, Any] = {id(buffer): buffer for buffer in model.buffers()}
        self._own = {type(m).__module__.partition(".")[0] for m in model.modules()} - _MACHINERY
        waiting: list[tuple[Any, Any, Any]] = [("the model", model, None)]
        while waiting:
            at = waiting.pop()
            for name, part in self._parts(at):
                kind = type(part)
                if kind in _PLAIN:
                    continue
                if kind in _OFTEN_EMPTY and not part:
                    self._empty.append(part)
                elif id(part) not in self._seen:
                    self._seen[id(part)] = part
                    waiting.append((name, part, at))

    def restore(self) -> None:
        """Put back what has changed."""
        for value in self._empty:
            if value:
                value.clear()
        for restore in self._restore:
            restore()

    def _parts(self, at: tuple[Any, Any, Any]) -> Iterable[tuple[Any, Any]]:
        """Note how to restore a value, and return what else it holds."""
        value = at[1]
        if isinstance(value, nn.Module):
            return [(None, vars(value)), *self._of_class(type(value))]
        if isinstance(value, dict):
            before = dict(value)
            self._restore.append(lambda: _refill_dictionary(value, before))
            return before.items()
        if isinstance(value, list | deque):
            items = list(value)
            self._restore.append(lambda: _refill_list(value, items))
            return enumerate(items)
        if isinstance(value, set):
            members = set(value)
            self._restore.append(lambda: _refill_set(value, members))
            return [(None, part) for part in members]
        if isinstance(value, tuple | frozenset):
            return enumerate(value)
        if isinstance(value, types.FunctionType):
            return self._of_function(value)
        if isinstance(value, types.MethodType):
            return [("__self__", value.__self__), ("__func__", value.__func__)]
        if isinstance(value, partial):
            return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
        restore = value_restorer(value)
        if restore is not None:
            self._restore.append(restore)
            return []
        if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
            raise TypeError(
                f"{_path(at)} is an iterator ({type(value).__name__}): how far it "
                "has gone cannot be taken back. Keep it outside of the model, or measure a copy "
                "of the model without it"
            )
        if type(value).__module__.partition(".")[0] in self._own and not isinstance(value, type):
            return self._of_object(value)
        return []

    def _of_class(self, kind: type) -> list[tuple[Any, Any]]:
        """Note the attributes of a module's class, up to those that are PyTorch's."""
        found = []
        for base in kind.__mro__:
            if base is nn.Module or id(base) in self._seen:
                break
            if base.__module__.partition(".")[0] in self._own:
                self._seen[id(base)] = base
                before = dict(vars(base))
                self._restore.append(partial(_reset_class, base, before))
                found += [
                    (name, part)
                    for name, part in before.items()
                    if isinstance(part, list | dict | set | deque | Tensor)
                ]
        return found

    def _of_function(self, function: types.FunctionType) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = [("defaults", function.__defaults__ or ())]
        if vars(function):
            found.append((None, vars(function)))
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                inside = cell.cell_contents
            except ValueError:  # nothing is in it yet
                continue
            self._restore.append(partial(setattr, cell, "cell_contents", inside))
            found.append((name, inside))
        return found

    def _of_object(self, value: Any) -> list[tuple[Any, Any]]:
        found: list[tuple[Any, Any]] = [(None, vars(value))] if hasattr(value, "__dict__") else []
        slots = (getattr(base, "__slots__", ()) for base in type(value).__mro__)
        for name in [n for s in slots for n in ((s,) if isinstance(s, str) else s)]:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                inside = getattr(value, name)
                self._restore.append(partial(object.__setattr__, value, name, inside))
                found.append((name, inside))
        return found


def _path(at: tuple[Any, Any, Any] | None) -> str:
    """Return the names that lead to a value, from the model on."""
    names = []
    while at is not None:
        if at[0] is not None:
            names.append(str(at[0]))
        at = at[2]
    return ".".join(reversed(names))


def value_restorer(value: Any) -> _Restore | None:
    """Return what gives a tensor, an array or a random generator its present value again."""
    if isinstance(value, Tensor):
        tensor = value.detach().clone()

        def refill() -> None:
            with torch.no_grad():
                if value.shape != tensor.shape:
                    value.data = tensor
                elif not torch.equal(value, tensor):
                    value.copy_(tensor)

        return refill
    if isinstance(value, np.ndarray):
        array = value.copy()
        return lambda: np.copyto(value, array) if value.flags.writeable else None
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, np.random.Generator):
        state = value.bit_generator.state
        return partial(setattr, value.bit_generator, "state", state)
    if isinstance(value, np.random.RandomState):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    return None


def _refill_dictionary(value: dict[Any, Any], before: dict[Any, Any]) -> None:
    if value.keys() != before.keys() or any(value[key] is not before[key] for key in before):
        value.clear()
        value.update(before)


def _refill_list(value: list[Any] | deque[Any], before: list[Any]) -> None:
    if len(value) != len(before) or any(a is not b for a, b in zip(value, before, strict=True)):
        value.clear()
        value.extend(before)


def _refill_set(value: set[Any], before: set[Any]) -> None:
    if value != before:
        value.clear()
        value.update(before)


def _reset_class(kind: type, before: dict[str, Any]) -> None:
    now = dict(vars(kind))
    for name in now.keys() - before.keys():
        delattr(kind, name)
    for name, value in before.items():
        if name not in now or now[name] is not value:
            setattr(kind, name, value)
