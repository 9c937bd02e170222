"""What `regression-1d` claims, and how it is drawn."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.regression_1d.figure import draw_fits, draw_measures
from largestep.experiments.andriushchenko2023.regression_1d.setting import LONG, LONGER, SHORT
from largestep.experiments.claims import Claim
from largestep.experiments.phases import (
    at_end,
    diverges_rarely,
    drops_at_decay,
    falls,
    kept_after_decay,
    reached_before_decay,
    stabilises,
)
from largestep.problems import one_dimensional_regression
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the measures, and the fits at the start, on the plateau and at the end."""
    sgd = results["sgd"].dataset
    fits = sgd.predictions.sel(schedule=[SHORT, LONG])
    return {
        "figure": draw_measures(sgd),
        "fits": draw_fits(fits, one_dimensional_regression(), plateau_at=0.48),
    }


def _rank(dataset: xr.Dataset) -> xr.DataArray:
    return dataset.jacobian_rank


def _sparsity(dataset: xr.Dataset) -> xr.DataArray:
    return dataset.feature_sparsity


def _variation_of_slope(dataset: xr.Dataset, schedule: str) -> np.ndarray:
    fits = dataset.predictions.sel(schedule=schedule).isel(step=-1)
    bends: np.ndarray = np.abs(fits.diff("test_point", n=2)).sum("test_point", skipna=False).values
    return bends


def _simpler_fits(results: Results) -> np.ndarray:
    sgd = results["sgd"].dataset
    return _variation_of_slope(sgd, LONG) / _variation_of_slope(sgd, SHORT)


def _underfits(results: Results) -> np.ndarray:
    losses = results["sgd"].dataset.train_loss
    ratio: np.ndarray = at_end(losses, LONGER) / at_end(losses, LONG)
    return ratio


CLAIMS: tuple[Claim, ...] = (
    stabilises("sgd", LONG, until=0.5, step_size="the long warm-up's step size"),
    drops_at_decay("sgd", LONG, until=0.5),
    falls(
        "sgd",
        _rank,
        "rank",
        from_schedule=SHORT,
        to_schedule=LONG,
        sentence="The long phase ends at less than half of the short one's rank.",
        bound=0.5,
    ),
    falls(
        "sgd",
        _sparsity,
        "feature sparsity",
        from_schedule=SHORT,
        to_schedule=LONG,
        sentence="The long phase ends at less than 0.6 of the short one's feature sparsity.",
        bound=0.6,
    ),
    reached_before_decay("sgd", _rank, "rank", LONG, 0.5),
    kept_after_decay("sgd", _rank, "rank", LONG, 0.5),
    reached_before_decay("sgd", _sparsity, "feature sparsity", LONG, 0.5),
    kept_after_decay("sgd", _sparsity, "feature sparsity", LONG, 0.5),
    Claim(
        "The long phase fits the points by a simpler function.",
        "total variation of the slope of the final fit, long over short phase, same seed",
        _simpler_fits,
        "below",
        1.0,
    ),
    Claim(
        "A steeper warm-up over-regularises: it no longer fits the points.",
        "final training loss, F = 500 s over F = 400 s, same seed",
        _underfits,
        "above",
        10.0,
    ),
    diverges_rarely("sgd", LONG),
)
