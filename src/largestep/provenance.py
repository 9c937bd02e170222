"""The key of a result: its configuration and the code that decides its numbers."""

import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import largestep

__all__ = ["configuration"]

# What decides the numbers; a change anywhere else lets stored results stand. Experiments build on
# each other, so that all of them count.
_COMPUTING = (
    "_checks.py",
    "losses.py",
    "measures",
    "problems.py",
    "schedules.py",
    "statistics.py",
    "networks",
    "dynamics",
    "metrics",
    "experiments",
)


def configuration(
    experiment: str, seeds: list[int], quick: bool, *, deep: bool = False
) -> dict[str, Any]:
    """Return what fixes an experiment's numbers, and a fingerprint of the code that computes them.

    Parameters
    ----------
    experiment : its name.
    seeds, quick : as the user asked.
    deep : whether the code and the version of what needs PyTorch count.
    """
    package = Path(largestep.__file__).parent
    names = ("numpy", "numba", "scipy", "xarray", *(["torch"] * deep))
    files = [
        file
        for entry in (*_COMPUTING, *(["deep"] * deep))
        for file in sorted((package / entry).rglob("*.py")) or [package / entry]
    ]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return {
        "experiment": experiment,
        "seeds": seeds,
        "quick": quick,
        "code": digest.hexdigest()[:16],
        "versions": {
            "largestep": largestep.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in names},
        },
    }
