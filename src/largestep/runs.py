"""A run's folder: results and provenance, written atomically and taken up again after a kill."""

import hashlib
import json
import os
import platform
import tempfile
import uuid
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xarray as xr

import largestep

__all__ = [
    "Results",
    "atomically",
    "configuration",
    "load",
    "prepare_folder",
    "read_json",
    "save",
    "sync",
    "write_json",
]

Results = Mapping[str, xr.Dataset]
"""The datasets of one experiment, by the name of the simulation that gave them."""

# What decides the numbers; a change anywhere else lets stored results stand. Experiments build on
# each other, so that all of them count.
_COMPUTING = (
    "checks.py",
    "measures.py",
    "problems.py",
    "schedules.py",
    "sweeps.py",
    "networks",
    "dynamics",
    "metrics",
    "experiments",
)


def prepare_folder(path: Path) -> Path:
    """Make the folder if need be and see that files can be written to it.

    Raises
    ------
    OSError
        If it is a file, or cannot be made or written to; the message says which.
    """
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file: name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OSError(f"cannot write to the folder {path}: {error.strerror}") from error
    return path


def atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Its content reaches the disk before its name does, and both before this returns: after a power
    cut, too, the file is the old one or the new one.
    """
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, readable by people."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


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


def save(path: Path, results: Results, config: dict[str, Any]) -> None:
    """Write results and their configuration to one NetCDF file, in one step."""
    tree = xr.DataTree.from_dict(dict(results))
    tree.attrs["configuration"] = json.dumps(config)
    encoding = {
        f"/{group}": {name: {"zlib": True, "complevel": 4} for name in dataset.data_vars}
        for group, dataset in results.items()
    }
    atomically(
        path,
        lambda temporary: tree.to_netcdf(
            temporary, engine="h5netcdf", format="NETCDF4", encoding=encoding
        ),
    )


def load(path: Path) -> tuple[Results, dict[str, Any]]:
    """Read results and their configuration into memory.

    Raises
    ------
    OSError
        If the file is missing.
    ValueError
        If it is not a results file, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no results at {path}")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            results = {name: node.to_dataset().load() for name, node in tree.children.items()}
            config = json.loads(tree.attrs["configuration"])
    except Exception as error:  # a damaged HDF5 file raises nearly anything
        raise ValueError(f"{path} cannot be read as results: {error}") from error
    if not results:
        raise ValueError(f"{path} cannot be read as results: it holds none")
    return results, config
