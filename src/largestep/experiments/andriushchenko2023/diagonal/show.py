"""What `diagonal` claims, and how it is drawn."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.diagonal.setting import LARGE, LENGTHS, SMALL
from largestep.experiments.claims import Claim
from largestep.experiments.phases import (
    drops_at_decay,
    fallen_and_stays,
    falls,
    falls_with_length,
    stabilises,
    tracks,
)
from largestep.figures.diagonal import draw_measures
from largestep.store import Results


def rank(dataset: xr.Dataset) -> xr.DataArray:
    """Return the rank of the Jacobian at the tolerance that stands above rounding, 1e-4."""
    return dataset.jacobian_rank.sel(threshold=1e-4)


def coordinates(dataset: xr.Dataset) -> xr.DataArray:
    """Return the number of non-zero coordinates of the predictor."""
    return dataset.nonzero_coordinates


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the six panels of `diagonal`."""
    return {"figure": draw_measures(results["sgd"].dataset)}


CLAIMS: tuple[Claim, ...] = (
    stabilises("sgd", LARGE[2], SMALL, until=0.5, step_size="η = 0.282"),
    drops_at_decay("sgd", LARGE[2], SMALL, until=0.5),
    *falls_with_length("sgd", rank, "rank", LARGE, LENGTHS),
    *falls_with_length("sgd", coordinates, "number of coordinates", LARGE, LENGTHS),
    *falls_with_length("sgd", lambda d: d.test_loss, "test loss", LARGE, LENGTHS),
    falls(
        "sgd",
        rank,
        "rank",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at less than half of the small step's rank.",
        bound=0.5,
    ),
    falls(
        "sgd",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at less than a tenth of the small step's test loss.",
        bound=0.1,
    ),
    fallen_and_stays("sgd", rank, "rank", large=LARGE[2], small=SMALL, until=0.5, bound=0.5),
    tracks("sgd", coordinates, "number of coordinates", rank),
)
