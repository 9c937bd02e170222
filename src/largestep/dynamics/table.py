"""The ends of a grid's trajectories, put together as they come."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from largestep._version import __version__
from largestep.dynamics.grid import Grid
from largestep.jobs.journal import Journal

__all__ = ["IN_MEMORY", "Table"]

IN_MEMORY = 1 << 30
"""Bytes of results beyond which they are kept in a file."""


class Table:
    """The rows of all trajectories of a grid, in memory or, if they are many, in a file."""

    def __init__(self, grid: Grid, folder: Path | None) -> None:
        self.grid, self.folder = grid, folder
        self.done = np.zeros(grid.size, dtype=bool)
        self.processors: set[str] = set()
        self._rows: np.ndarray | None = None

    @property
    def large(self) -> bool:
        """Whether it is kept in a file."""
        return self._rows is not None and self._rows.nbytes > IN_MEMORY

    def take_up(self, journal: Journal) -> None:
        """Put in the rows that are there from before."""
        keys = self.grid.keys(np.arange(self.grid.size))
        order = np.argsort(keys)
        ordered = keys[order]
        if (ordered[1:] == ordered[:-1]).any():
            raise ValueError("two trajectories have the same key: change the axes a little")
        for found, rows, processor in journal.read():
            at = np.minimum(np.searchsorted(ordered, found), len(ordered) - 1)
            here = ordered[at] == found
            if here.any():
                self.put(order[at[here]], rows[here], str(processor))

    def put(self, numbers: np.ndarray, rows: np.ndarray, processor: str) -> None:
        """Keep the rows of some trajectories."""
        if self._rows is None:
            self._rows = self._empty(rows.dtype)
        if rows.dtype != self._rows.dtype:
            raise ValueError(
                "measures must return arrays of one shape for all settings, got "
                f"{rows.dtype.descr} beside {self._rows.dtype.descr}"
            )
        self._rows[numbers] = rows
        self.done[numbers] = True
        self.processors.add(processor)

    def points(self, *names: str) -> xr.Dataset:
        """Return some variables at the grid's points in a row, by seed."""
        assert self._rows is not None
        rows = self._rows.reshape(-1, self.grid.shape[-1])
        return xr.Dataset({name: (("point", "seed"), rows[name]) for name in names})

    def _empty(self, dtype: np.dtype) -> np.ndarray:
        size = self.grid.size * dtype.itemsize
        if size <= IN_MEMORY:
            rows = np.empty(self.grid.size, dtype)
        elif self.folder is None:
            raise ValueError(f"{size / 1e9:.1f} GB of results need a folder: give `out`")
        else:
            _zarr()
            with tempfile.TemporaryFile(dir=self.folder) as file:
                rows = np.memmap(file, dtype, "w+", shape=(self.grid.size,))
        for name in dtype.names or ():
            rows[name] = np.nan
        return rows

    def dataset(self, *, points_too: bool) -> xr.Dataset:
        """Return the rows over the axes, and with `points_too` which were computed.

        What is large is written to ``results.zarr``, one x value after the other.
        """
        several = len(self.processors) > 1
        if several:
            print(
                "Several kinds of processors have computed; last bits may differ between them: "
                + "; ".join(sorted(self.processors)),
                file=sys.stderr,
            )
        if not self.large or self.folder is None:
            return self._part(slice(None), points_too)
        target = self.folder / "results.zarr"
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            first, *_ = self.grid.axes
            for number in range(self.grid.shape[0]):
                part = self._part(slice(number, number + 1), points_too)
                also: Any = {"append_dim": first} if number else {}
                part.to_zarr(Path(made) / "new", consolidated=False, **also)
            if target.exists():
                target.rename(Path(made) / "old")
            (Path(made) / "new").rename(target)
        return xr.open_zarr(target, chunks=None, consolidated=False)

    def _part(self, along_x: slice, points_too: bool) -> xr.Dataset:
        """Return the rows of some x values."""
        assert self._rows is not None
        grid, shape = self.grid, self.grid.shape
        rows = self._rows.reshape(shape)[along_x]
        coords: dict[str, Any] = dict(grid.axes)
        first = next(iter(coords))
        coords[first] = coords[first][along_x]
        coords["seed"] = grid.seeds
        measures = {measure.name: measure for measure in grid.measures}
        for measure in grid.measures:
            coords |= measure.coords
        data: dict[str, Any] = {}
        for name in rows.dtype.names or ():
            along = measures[name].dims if name in measures else ()
            data[name] = ((*grid.axes, "seed", *along), np.ascontiguousarray(rows[name]))
        if points_too:
            done = self.done.reshape(shape)[along_x].all(axis=-1)
            data["computed"] = (tuple(grid.axes), done)
        dataset = xr.Dataset(data, coords, self._attributes())
        names = {
            "diverged_at": "steps completed before the divergence",
            "plateau_loss": "training loss before the decay",
            "computed": "whether it was computed",
            **{name: measure.long_name for name, measure in measures.items()},
        }
        for variable in data:
            units = "steps" if variable == "diverged_at" else "1"
            dataset[variable].attrs.update(long_name=names[variable], units=units)
        return dataset

    def _attributes(self) -> dict[str, Any]:
        grid = self.grid
        return {
            **grid.recipe.described(),
            "fixed": json.dumps(dict(grid.fixed)),
            "steps": grid.steps,
            "largestep": __version__,
            "processors": json.dumps(sorted(self.processors)),
        }


def _zarr() -> None:
    try:
        import zarr  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "more than a gigabyte of results needs Zarr: pip install 'largestep[cluster]'",
            name=error.name,
        ) from None
