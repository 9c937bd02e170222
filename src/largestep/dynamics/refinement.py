"""Where the boundaries of a phase diagram are, found without computing all of it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from largestep.dynamics.table import Table

__all__ = ["CONVERGED", "DIVERGED", "PLATEAU", "regions", "stages"]

DIVERGED, CONVERGED, PLATEAU = range(3)


def regions(dataset: xr.Dataset, zero_loss: float) -> xr.DataArray:
    """Return where most seeds diverged (0), converged (1) or stayed on a plateau (2).

    On a plateau half of the seeds or more survive, and the median loss before the decay is above a
    thousandth of the zero predictor's.

    Parameters
    ----------
    dataset : as `sweep` returns it.
    zero_loss : training loss of the predictor that is zero.
    """
    survives = dataset.diverged_at.isnull().mean("seed") >= 0.5
    on_plateau = dataset.plateau_loss.median("seed") > 1e-3 * zero_loss
    return survives * (CONVERGED + on_plateau)


def stages(table: Table, refine: int) -> Iterator[np.ndarray]:
    """Yield the numbers of the trajectories to compute next, until no boundary is open."""
    numbers = np.arange(table.grid.size)
    if not refine:
        yield numbers
        return
    (across, up), seeds = table.grid.shape[:2], table.grid.shape[-1]
    planes = numbers.reshape(across, up, -1, seeds)
    grids = [(_every(across, 2**level), _every(up, 2**level)) for level in range(refine, -1, -1)]
    wanted = np.zeros(planes.shape[:3], dtype=bool)
    wanted[np.ix_(*grids[0])] = True
    zero_loss = table.grid.zero_loss
    while wanted.any():
        yield planes[wanted].ravel()
        found = regions(table.points("diverged_at", "plateau_loss"), zero_loss).values
        found = np.where(table.done.reshape(-1, seeds).all(axis=-1), found, -1)
        found = found.reshape(wanted.shape)
        for plane in range(wanted.shape[2]):
            wanted[:, :, plane] = _open(found[:, :, plane], grids)


def _every(number: int, stride: int) -> np.ndarray:
    """Return the indices a stride apart, and the last."""
    return np.union1d(np.arange(0, number, stride), number - 1)


def _open(found: np.ndarray, grids: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the points to compute: those of the next grid in squares that are of two regions.

    Parameters
    ----------
    found : the region of each point, −1 where it is not known.
    grids : the x and y indices of each grid, from coarse to fine.
    """
    wanted = np.zeros(found.shape, dtype=bool)
    for (xs, ys), (finer_xs, finer_ys) in pairwise(grids):
        for left, right in pairwise(xs):
            for low, high in pairwise(ys):
                square = found[left : right + 1, low : high + 1]
                known = square[square >= 0]
                if (square[[0, 0, -1, -1], [0, -1, 0, -1]] >= 0).all() and np.ptp(known):
                    inside = (
                        finer_xs[(finer_xs >= left) & (finer_xs <= right)],
                        finer_ys[(finer_ys >= low) & (finer_ys <= high)],
                    )
                    wanted[np.ix_(*inside)] = True
    return wanted & (found < 0)
