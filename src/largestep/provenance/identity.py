"""The identity of a value by its content: what would give other numbers has another fingerprint."""

import hashlib
import inspect
import pickle
import types
from collections.abc import Mapping, Set
from functools import partial
from typing import Any

import numpy as np

from largestep.provenance.closure import closure

__all__ = ["fingerprint"]

_OWN = "largestep."


def fingerprint(*values: Any) -> str:
    """Return a digest of everything in some values that could decide a number.

    Arrays count by their bytes, objects by their class and their attributes, functions and classes
    by their code: those of largestep by all code that they depend on, others by their compiled code
    with defaults, closures and the globals that they name. Names of variables, docstrings and
    comments do not count.

    Raises
    ------
    TypeError
        If a value's content can't be read: then nothing may be taken up under its name.

    Examples
    --------
    >>> fingerprint(np.zeros(2), {"cap": 4.0}) == fingerprint(np.zeros(2), {"cap": 4.0})
    True
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """
    writer = _Writer()
    writer.write(list(values))
    return writer.digest.hexdigest()[:16]


class _Writer:
    """Writes values into a digest, each object once."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []

    def text(self, *parts: object) -> None:
        """Write words, told apart from their neighbours."""
        for part in parts:
            written = str(part).encode()
            self.digest.update(b"%d:" % len(written) + written)

    def write(self, value: Any) -> None:
        """Write a value."""
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self.text(type(value).__name__, repr(value))
            return
        if isinstance(value, types.ModuleType):
            self.text("module", value.__name__, getattr(value, "__version__", ""))
            return
        if id(value) in self._seen:
            self.text("again", self._seen[id(value)])
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)  # an identity is its own only while its object lives
        self._write_object(value)

    def _write_object(self, value: Any) -> None:
        if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            array = np.ascontiguousarray(value)
            self.text("array", array.dtype.str, value.shape)
            self.digest.update(array.tobytes())
        elif isinstance(value, list | tuple):
            self.text(type(value).__name__, len(value))
            for part in value:
                self.write(part)
        elif isinstance(value, Mapping):
            self.text("mapping", len(value))
            for key, part in value.items():
                self.write(key)
                self.write(part)
        elif isinstance(value, Set):
            self.text("set", *sorted(fingerprint(part) for part in value))
        elif isinstance(value, partial):
            self.text("partial")
            for part in (value.func, value.args, value.keywords):
                self.write(part)
        elif isinstance(value, types.MethodType):
            self.text("method")
            self.write(value.__self__)
            self.write(value.__func__)
        elif isinstance(value, staticmethod | classmethod):
            self.write(value.__func__)
        elif isinstance(value, property):
            self.write([value.fget, value.fset, value.fdel])
        elif isinstance(value, types.FunctionType):
            self._write_function(value)
        elif isinstance(value, type):
            self._write_class(value)
        elif hasattr(value, "py_func"):  # compiled by Numba
            # Signatures that came with calls say what was called, not what would be computed.
            given = not getattr(value, "_can_compile", False)
            self.text("compiled", getattr(value, "signatures", "") if given else "")
            self.write(value.py_func)
        elif isinstance(value, types.BuiltinFunctionType | np.ufunc):
            self.text("built-in", getattr(value, "__module__", ""), value.__name__)
        elif type(value).__module__.partition(".")[0] in ("numpy", "builtins", "torch", "numba"):
            self._write_pickled(value)
        else:
            self.text("object")
            self.write(type(value))
            self.write(_attributes(value))

    def _write_function(self, function: types.FunctionType) -> None:
        if _defined(function):
            self.text("function", closure((function.__module__, function.__qualname__)).digest)
            return
        self.text("function", function.__name__)
        self._write_code(function.__code__)
        self.write([function.__defaults__, function.__kwdefaults__])
        self.write([_content(cell) for cell in function.__closure__ or ()])
        names = sorted(_names(function.__code__) & function.__globals__.keys())
        self.write({name: function.__globals__[name] for name in names})

    def _write_code(self, code: types.CodeType) -> None:
        self.digest.update(code.co_code)
        self.text("code", code.co_names, code.co_varnames, code.co_freevars)
        documented = code.co_flags & inspect.CO_NEWLOCALS and code.co_consts[:1]
        for number, constant in enumerate(code.co_consts):
            if isinstance(constant, types.CodeType):
                self._write_code(constant)
            elif not (number == 0 and documented and isinstance(constant, str)):
                self.text(repr(constant))

    def _write_class(self, value: type) -> None:
        if _defined(value):
            self.text("class", closure((value.__module__, value.__qualname__)).digest)
            return
        self.text("class", value.__module__, value.__qualname__)
        if value.__module__ in ("builtins", "abc", "typing"):
            return
        self.write(list(value.__bases__))
        for name, part in sorted(vars(value).items()):
            if callable(part) or not name.startswith("__"):
                if isinstance(part, types.GetSetDescriptorType | types.MemberDescriptorType):
                    continue
                if name.startswith("_abc_") or name in ("__class_getitem__", "__weakref__"):
                    continue
                self.text(name)
                self.write(part)

    def _write_pickled(self, value: Any) -> None:
        try:
            self.digest.update(pickle.dumps(value, protocol=4))
        except Exception as error:
            raise TypeError(
                f"what decides the numbers must have content that can be read, got {value!r}: "
                f"{error}"
            ) from error


def _defined(value: Any) -> bool:
    """Return whether a function or class stands at the top of one of largestep's modules."""
    return value.__module__.startswith(_OWN) and "." not in value.__qualname__.replace(
        "<lambda>", "."
    )


def _attributes(value: Any) -> dict[str, Any]:
    slots = (s for kind in type(value).__mro__ for s in getattr(kind, "__slots__", ()))
    held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    if not hasattr(value, "__dict__") and not held:
        raise TypeError(
            "what decides the numbers must have content that can be read, got "
            f"{value!r} ({type(value).__name__})"
        )
    return held | getattr(value, "__dict__", {})


def _names(code: types.CodeType) -> set[str]:
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty still
        return None
