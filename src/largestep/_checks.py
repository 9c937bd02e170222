"""Checks at the border: errors that name the parameter, the value seen and what would be right."""

import math
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from types import EllipsisType
from typing import Any

import numpy as np

__all__ = [
    "array",
    "integer",
    "integer_of",
    "integers",
    "kind",
    "mapping",
    "number",
    "number_of",
    "seeds",
    "shown",
    "unmasked",
    "view",
]

_LARGEST = 2**63 - 1
"""What compiled code and NumPy can count to."""


def shown(value: Any) -> str:
    """Return a value as an error shows it: however large, or however it is made, a short text."""
    try:
        text = repr(value)
    except Exception:  # an integer of too many digits, or a stranger's own repr
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= 200 else f"{text[:200]}…"


def integer(name: str, value: Any, *, at_least: int, at_most: float = _LARGEST) -> int:
    """Return `value` as an int, or say why it can't be one."""
    # NumPy counts durations among the integers.
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {shown(value)} ({type(value).__name__})")
    whole = int(value)
    if whole < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {shown(value)}")
    if whole > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {shown(value)}")
    return whole


def number(
    name: str,
    value: Any,
    *,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
) -> float:
    """Return `value` as a finite float within the bounds, or say why it can't be one."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {shown(value)} ({type(value).__name__})")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    if result < at_least or result > at_most or not above < result < below:
        bounds = [
            f"at least {at_least:g}" if at_least > -math.inf else "",
            f"above {above:g}" if above > -math.inf else "",
            f"at most {at_most:g}" if at_most < math.inf else "",
            f"below {below:g}" if below < math.inf else "",
        ]
        raise ValueError(f"{name} must be {' and '.join(filter(None, bounds))}, got {result:g}")
    return result


def integer_of(owner: Any, name: str, *, at_least: int) -> None:
    """Check an attribute of a frozen dataclass and keep it as an int."""
    object.__setattr__(owner, name, integer(name, getattr(owner, name), at_least=at_least))


def number_of(owner: Any, name: str, **bounds: float) -> float:
    """Check an attribute of a frozen dataclass, keep it as a float and return it."""
    value = number(name, getattr(owner, name), **bounds)
    object.__setattr__(owner, name, value)
    return value


def kind(name: str, value: Any, right: type) -> None:
    """Raise TypeError if `value` is none of a class's instances."""
    if not isinstance(value, right):
        hint = "; it is a class: call it" if isinstance(value, type) else ""
        raise TypeError(f"{name} must be a {right.__name__}, got {shown(value)}{hint}")


def mapping(name: str, value: Any) -> Mapping[Any, Any]:
    """Return `value` if it is a mapping, or say that it is none."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, got {shown(value)} ({type(value).__name__})")
    return value


def array(name: str, value: Any, *, dimensions: int) -> np.ndarray:
    """Return `value` as a C-contiguous float64 array of its own, every entry finite."""
    given = _real(name, value)
    if given.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension(s), got shape {given.shape}")
    with np.errstate(over="ignore"):
        result = np.array(given, dtype=np.float64, order="C")
    unusable = np.argwhere(~np.isfinite(result))
    if unusable.size:
        index = tuple(int(i) for i in unusable[0])
        raise ValueError(f"{name} must be finite, got {result[index]} at index {index}")
    return result


def view(name: str, value: Any, *, shape: tuple[int | EllipsisType | None, ...]) -> np.ndarray:
    """Return `value` as a float64 array of a shape, itself if it is one; NaN and infinity may be.

    Parameters
    ----------
    shape : lengths; None is any length, ... in the first place any leading dimensions.
    """
    given = _real(name, value)
    lengths = shape[1:] if shape[:1] == (...,) else shape
    seen = given.shape[given.ndim - len(lengths) :] if shape[:1] == (...,) else given.shape
    if len(seen) != len(lengths) or any(
        length not in (None, found) for length, found in zip(lengths, seen, strict=True)
    ):
        words = ["n" if part is None else "…" if part is ... else str(part) for part in shape]
        wanted = ", ".join(words)
        raise ValueError(f"{name} must have shape ({wanted}), got {given.shape}")
    with np.errstate(over="ignore"):
        return np.asarray(given, dtype=np.float64)


def integers(name: str, value: Any) -> np.ndarray:
    """Return `value` as an array of int64, of any shape."""
    given = _real(name, value)
    if given.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype {given.dtype}: {shown(value)}")
    if given.dtype == np.uint64 and given.size and given.max() > _LARGEST:
        raise ValueError(f"{name} must hold integers up to {_LARGEST}, got {given.max()}")
    return given.astype(np.int64)


def unmasked(name: str, value: Any) -> Any:
    """Return `value`, or say that entries of it are masked: arithmetic would forget which."""
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            masked = int(np.ma.getmaskarray(value).sum())
            raise TypeError(
                f"{name} must not be masked, got {masked} masked entries: leave out or fill them"
            )
        return value.data
    return value


def seeds(values: int | Iterable[int]) -> list[int]:
    """Return distinct non-negative seeds; an integer stands for that one seed."""
    try:
        listed: list[Any] = list(values) if isinstance(values, Iterable) else [values]
    except TypeError:  # an array of no dimensions
        listed = [values]
    result = [integer("seeds", seed, at_least=0) for seed in listed]
    if not result:
        raise ValueError("seeds must name at least one seed, got none")
    if len(set(result)) < len(result):
        repeated = next(seed for seed in result if result.count(seed) > 1)
        raise ValueError(f"seeds must be distinct, got {repeated} more than once")
    return result


def _real(name: str, value: Any) -> np.ndarray:
    """Return `value` as an array of real numbers."""
    try:
        given = np.asarray(unmasked(name, value))
    except TypeError as error:
        if str(error).startswith(f"{name} "):
            raise
        raise TypeError(f"{name} must be an array, got {shown(value)}: {error}") from None
    except Exception as error:  # lists of unequal lengths, tensors that ask for gradients
        raise ValueError(f"{name} must be an array, got {shown(value)}: {error}") from None
    if given.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must be an array of real numbers, got dtype {given.dtype}: {shown(value)}"
        )
    return given
