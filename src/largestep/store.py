"""Results in, results out: NetCDF files, written in one step and read whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from largestep import _files

__all__ = ["Results", "load", "save"]

Results = Mapping[str, xr.Dataset]
"""The datasets of one experiment, by the name of the simulation that gave them."""


def save(path: Path, results: Results, config: dict[str, Any]) -> None:
    """Write results and their configuration to one NetCDF file, in one step."""
    tree = xr.DataTree.from_dict(dict(results))
    tree.attrs["configuration"] = json.dumps(config)
    encoding = {
        f"/{group}": {name: {"zlib": True, "complevel": 4} for name in dataset.data_vars}
        for group, dataset in results.items()
    }
    _files.atomically(
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
