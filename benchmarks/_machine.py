"""What this machine gives one core: the limits beside which a kernel's time is put."""

import time
from functools import cache
from typing import Any

import numba
import numpy as np

__all__ = ["bandwidth", "least_seconds", "peak"]

_L1, _L2 = 1 << 14, 1 << 18
"""Bytes of arrays that lie in a core's first cache, and in its second."""


@cache
def peak() -> float:
    """Return the FLOP/s of BLAS on two matrices that fit the caches."""
    a = np.random.default_rng(0).standard_normal((256, 256))
    return float(2 * 256**3 / _fastest(lambda: a @ a))


@cache
def bandwidth(size: int = _L1) -> float:
    """Return the bytes/s of a ← b + sc over arrays of so many bytes together."""
    a, b, c = np.ones((3, size // 24))
    rounds = 2_000_000 // len(a)
    return 24 * len(a) * rounds / _fastest(lambda: _triad(a, b, c, rounds))


def least_seconds(*, flops: float, loaded: float, far: float = 0.0) -> float:
    """Return what the machine's slowest part needs for work that uses each of them fully.

    Parameters
    ----------
    flops : additions and multiplications.
    loaded : bytes loaded and stored.
    far : those of them that come from the second cache.
    """
    return max(flops / peak(), loaded / bandwidth(_L1), far / bandwidth(_L2))


@numba.njit(fastmath=True)
def _triad(a, b, c, rounds):  # type: ignore[no-untyped-def]
    for k in range(rounds):
        for j in range(a.shape[0]):
            a[j] = b[j] + k * c[j]


def _fastest(run: Any) -> float:
    run()
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)
