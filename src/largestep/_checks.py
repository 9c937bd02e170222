"""Checks at the border: errors that name the parameter, the value seen and what would be right."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["array", "integer", "number", "seeds"]


def integer(name: str, value: Any, *, at_least: int) -> int:
    """Return `value` as an int, or say why it can't be one."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


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
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if value < at_least or value > at_most or not above < value < below:
        bounds = [
            f"at least {at_least:g}" if at_least > -math.inf else "",
            f"above {above:g}" if above > -math.inf else "",
            f"at most {at_most:g}" if at_most < math.inf else "",
            f"below {below:g}" if below < math.inf else "",
        ]
        raise ValueError(f"{name} must be {' and '.join(filter(None, bounds))}, got {value:g}")
    return value


def array(name: str, value: Any, *, dimensions: int) -> np.ndarray:
    """Return `value` as a C-contiguous float64 array of its own, every entry finite."""
    given = np.asarray(value)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {given.dtype}")
    if given.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension(s), got shape {given.shape}")
    result = np.array(given, dtype=np.float64, order="C")
    unusable = np.argwhere(~np.isfinite(result))
    if unusable.size:
        index = tuple(int(i) for i in unusable[0])
        raise ValueError(f"{name} must be finite, got {result[index]} at index {index}")
    return result


def seeds(values: int | Iterable[int]) -> list[int]:
    """Return distinct non-negative seeds; an integer stands for that one seed."""
    listed = list(values) if isinstance(values, Iterable) else [values]
    result = [integer("seeds", seed, at_least=0) for seed in listed]
    if not result:
        raise ValueError("seeds must name at least one seed, got none")
    if len(set(result)) < len(result):
        repeated = next(seed for seed in result if result.count(seed) > 1)
        raise ValueError(f"seeds must be distinct, got {repeated} more than once")
    return result
