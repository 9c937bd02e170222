"""What `regression-1d` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.regression_1d.figure import draw_fits, draw_measures
from largestep.experiments.andriushchenko2023.regression_1d.setting import LONG, LONGER, SHORT
from largestep.experiments.claims import Claim
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import (
    at_end,
    drops_at_decay,
    fallen_and_stays,
    falls,
    ratio,
    stabilises,
    tracks,
    two_seeds,
)
from largestep.figures.curves import BANDS
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


def _kinks(dataset: xr.Dataset) -> xr.DataArray:
    return dataset.kinks


def _variation_of_slope(schedule: str, results: Results) -> np.ndarray:
    fits = results["sgd"].dataset.predictions.sel(schedule=schedule).isel(step=-1)
    bends: np.ndarray = np.abs(fits.diff("test_point", n=2)).sum("test_point", skipna=False).values
    return bends


def _final_loss(schedule: str, results: Results) -> np.ndarray:
    return at_end(results["sgd"].dataset.train_loss, schedule)


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        (
            "A ReLU network on twelve points under a short and two long large-step phases: a, "
            "training loss; b, rank of the Jacobian; c, feature sparsity coefficient."
        )
        + BANDS,
        "Three panels over 31 623 steps. Under the long phases the training loss stays near "
        "0.5 for half of the steps, and rank and feature sparsity fall to a quarter and "
        "less than a half; under the short phase they stay where they were.",
    ),
    "fits": Caption(
        "What single networks compute, three seeds each: a, at the start, where all "
        "schedules agree and the networks are far from the points; b, late in the "
        "large-step phase; c, at the end. Dots are the training points.",
        "Three panels of functions of one variable. On the plateau the networks of the long "
        "phase are a few straight pieces that miss the points; at the end they pass through "
        "them with a handful of kinks, where those of the short phase have many.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    stabilises("sgd", LONG, SHORT, until=0.5, step_size="the long warm-up's step size"),
    drops_at_decay("sgd", LONG, SHORT, until=0.5),
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
    fallen_and_stays("sgd", _rank, "rank", large=LONG, small=SHORT, until=0.5, bound=0.5),
    fallen_and_stays(
        "sgd", _sparsity, "feature sparsity", large=LONG, small=SHORT, until=0.5, bound=0.6
    ),
    tracks("sgd", _sparsity, "feature sparsity", _rank),
    falls(
        "sgd",
        _kinks,
        "number of kinks",
        from_schedule=SHORT,
        to_schedule=LONG,
        sentence="The long phase ends with fewer kinks between the points.",
        whose="other papers",
    ),
    Claim(
        "The long phase fits the points by a simpler function.",
        "total variation of the slope of the final fit, long over short phase, same seed",
        lambda r: ratio(_variation_of_slope(LONG, r), _variation_of_slope(SHORT, r)),
        "below",
        0.5,
        control=two_seeds(SHORT, partial(_variation_of_slope, SHORT)),
        beside={
            "long": partial(_variation_of_slope, LONG),
            "short": partial(_variation_of_slope, SHORT),
        },
    ),
    Claim(
        "A steeper warm-up over-regularises: it no longer fits the points.",
        "final training loss, F = 500 s over F = 400 s, same seed",
        lambda r: ratio(_final_loss(LONGER, r), _final_loss(LONG, r)),
        "above",
        10.0,
        control=two_seeds(LONG, partial(_final_loss, LONG)),
        beside={"F = 500 s": partial(_final_loss, LONGER), "F = 400 s": partial(_final_loss, LONG)},
    ),
)
