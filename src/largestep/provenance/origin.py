"""Where numbers come from: the code's commit, the machine. Shown to readers, decides nothing."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["commit", "machine", "processor"]

_HERE = Path(__file__).parent


def commit() -> str | None:
    """Return the commit that the code is at, "+" behind it if files have changed since.

    None where the code is not kept in a repository of its own: an installed package in somebody
    else's has no commit.
    """
    if not _git("ls-files", Path(__file__).name):
        return None
    found = _git("describe", "--always", "--abbrev=12", "--exclude=*")
    return found and found + ("+" if _git("status", "--porcelain", "--", "..") else "")


def machine() -> str:
    """Return the system, the processor and the number of its cores, but no name of the machine."""
    processor = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{platform.system()}, {processor}, {os.cpu_count()} cores"


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


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_HERE), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
