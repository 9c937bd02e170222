"""The processor: what may change a number's last bits beside code and values."""

import platform
from functools import cache

__all__ = ["processor"]


@cache
def processor() -> str:
    """Return what this machine's compiled loops and BLAS are made for.

    Numba compiles for the processor that it finds, BLAS chooses its kernels by it: where this text
    is the same, so are the bits.

    Examples
    --------
    >>> processor() == processor()
    True
    """
    import llvmlite.binding as llvm
    import scipy.linalg  # noqa: F401  (loads its BLAS, beside NumPy's)
    from threadpoolctl import threadpool_info

    blas = {
        f"{found['internal_api']} {found['version']} {found.get('architecture', '')}".strip()
        for found in threadpool_info()
        if found["user_api"] == "blas"
    }
    return ", ".join([f"{platform.machine()} {llvm.get_host_cpu_name()}", *sorted(blas)])
