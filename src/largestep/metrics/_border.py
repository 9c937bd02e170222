"""What metrics take: arrays of real numbers, in the precision in which they can be measured."""

from typing import Any

from array_api_compat import array_namespace, is_torch_array

from largestep import _checks

__all__ = ["real"]

Array = Any
"""A NumPy array or a PyTorch tensor, on any device."""


def real(name: str, value: Array) -> tuple[Any, Array]:
    """Return an array's namespace and the array: half precision as float32, integers as float64.

    Raises
    ------
    TypeError
        If it is no array or tensor of real numbers, or some of its entries are masked.
    """
    value = _checks.unmasked(name, value)
    try:
        xp = array_namespace(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a NumPy array or a PyTorch tensor, got {_checks.shown(value)} "
            f"({type(value).__name__})"
        ) from None
    if is_torch_array(value):
        value = value.detach()
    if xp.isdtype(value.dtype, "real floating"):
        bits = xp.finfo(value.dtype).bits
        wider = xp.float32 if bits < 32 else xp.float64 if bits > 64 else value.dtype
        return xp, xp.astype(value, wider, copy=False)
    if not xp.isdtype(value.dtype, ("bool", "integral")):
        raise TypeError(f"{name} must be of real numbers, got dtype {value.dtype}")
    return xp, xp.astype(value, xp.float64)
