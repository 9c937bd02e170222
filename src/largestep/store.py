"""Results in, results out: NetCDF files, written in one step and read whole or not at all."""

import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from largestep import _files

__all__ = ["Results", "load", "save", "taken_up_or_computed", "to_bytes", "write_ends"]

Results = xr.DataTree
"""The datasets of one experiment, a node for each simulation, under the names that group them."""

_MOST_ENDS = 10_000


def save(path: Path, results: Results, config: Mapping[str, Any]) -> None:
    """Write results and their configuration to one NetCDF file, in one step.

    Its last bytes are a digest of all others, which readers of NetCDF pass over.
    """
    tree = results.copy(deep=False)
    tree.attrs["configuration"] = json.dumps(config)
    _files.write_bytes(path, _files.seal(to_bytes(tree)))


def to_bytes(tree: Results) -> bytes:
    """Return datasets as the content of a compressed NetCDF file.

    HDF5 never writes to the disk itself: where one is full, it ends the process.
    """
    encoding = {
        node.path: {name: {"zlib": True, "complevel": 4} for name in node.data_vars}
        for node in tree.subtree
    }
    buffer = io.BytesIO()
    tree.to_netcdf(buffer, engine="h5netcdf", format="NETCDF4", encoding=encoding)
    return buffer.getvalue()


def write_ends(path: Path, results: Results) -> None:
    """Write what is there at the end of training as CSV: a line for each number.

    Its columns are the group, the variable, whatever dimensions there are and the value. Variables
    with more than 10 000 numbers at the end are left to the NetCDF file.
    """
    import pandas as pd

    tables = []
    for node in results.subtree:
        for name, variable in node.to_dataset(inherit=False).data_vars.items():
            end = variable.isel(step=-1, drop=True) if "step" in variable.dims else variable
            if end.size > _MOST_ENDS:
                continue
            values = end.drop_vars([c for c in end.coords if c not in end.dims])
            table = values.rename("value").to_dataframe().reset_index() if end.dims else None
            if table is None:
                table = pd.DataFrame({"value": [end.item()]})
            tables.append(table.assign(group=node.path.lstrip("/"), variable=name))
    ends = pd.concat(tables, ignore_index=True)
    dims = [c for c in ends.columns if c not in ("group", "variable", "value")]
    ends = ends[["group", "variable", *dims, "value"]]
    _files.atomically(path, lambda temporary: ends.to_csv(temporary, index=False))


def load(path: Path) -> tuple[Results, dict[str, Any]]:
    """Read results and their configuration into memory.

    Raises
    ------
    OSError
        If the file is missing or can't be read.
    ValueError
        If it is not a results file, or damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"no results at {path}")
    content = _files.read_bytes(path)
    try:
        # Before HDF5 sees it, which damaged bytes may lead anywhere.
        whole = io.BytesIO(_files.unseal(content))
        with xr.open_datatree(whole, engine="h5netcdf") as tree:
            # `tree.load` leaves out a variable that is called as its node is.
            nodes = {node.path: node.to_dataset(inherit=False).load() for node in tree.subtree}
            results = Results.from_dict(nodes)
            config = json.loads(results.attrs.pop("configuration"))
    except Exception as error:  # a file that is none of ours raises nearly anything
        raise ValueError(f"{path} cannot be read as results: {error}") from error
    if not results.children:
        raise ValueError(f"{path} cannot be read as results: it holds none")
    return results, config


def taken_up_or_computed(
    path: Path, config: Mapping[str, Any], compute: Callable[[], Results]
) -> Results:
    """Return the results stored at a path under this key; otherwise compute and store them.

    Damaged results are computed again, with a line that says so.

    Parameters
    ----------
    path : of the file.
    config : what is stored with the results. Its entry "key" must be that of the stored ones: it
        stands for all that decides the numbers.
    compute : makes the results.
    """
    if path.exists():
        try:
            results, stored = load(path)
        except (OSError, ValueError) as error:
            print(f"{error}; computing it again", file=sys.stderr)
        else:
            if stored.get("key") == config["key"]:
                return results
    results = compute()
    save(path, results, config)
    return results
