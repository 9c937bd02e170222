"""What `opposing-signals` claims, and how it is drawn."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.rosenfeld2024.opposing_signals.compute import (
    OUTLIERS,
    STEP_SIZES,
    WITH,
    WITHOUT,
)
from largestep.experiments.rosenfeld2024.opposing_signals.figure import draw_signals
from largestep.store import Results

OPPOSED = -0.5


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the edge over training, how much each example moves, and how outliers move together."""
    names = {"outliers": WITH, "their coordinate is zero": WITHOUT}
    first = next(iter(STEP_SIZES))
    return {
        "figure": draw_signals(
            {name: results[data].dataset for name, data in names.items()},
            {name: _pairs(first, data, results) for name, data in names.items()},
            OPPOSED,
        )
    }


def movers(schedule: str, data: str, results: Results) -> np.ndarray:
    """Return the share of outliers among as many examples that move most."""
    movement = results[data].dataset.movement.sel(schedule=schedule)
    values = movement.transpose("seed", "example").values
    most = np.argsort(-values, axis=1, kind="stable")[:, :OUTLIERS]
    return np.where(np.isnan(values).any(axis=1), np.nan, np.mean(most < OUTLIERS, axis=1))


def _edge(schedule: str, data: str, results: Results) -> np.ndarray:
    values: np.ndarray = results[data].dataset.edge.sel(schedule=schedule).isel(step=-1).values
    return values


def opposed(schedule: str, data: str, results: Results) -> np.ndarray:
    """Return the share of pairs of outliers whose losses move against each other."""
    found = _pairs(schedule, data, results)
    return np.where(np.isnan(found).any(axis=1), np.nan, np.mean(found < OPPOSED, axis=1))


def _pairs(schedule: str, data: str, results: Results) -> np.ndarray:
    """Return for every seed the correlations of all pairs of outliers."""
    correlation = results[data].dataset.correlation.sel(schedule=schedule)
    values = correlation.transpose("seed", "outlier", "other").values
    first, second = np.triu_indices(OUTLIERS, 1)
    found: np.ndarray = values[:, first, second]
    return found


def _between_sides(schedule: str, data: str, results: Results) -> np.ndarray:
    values: np.ndarray = results[data].dataset.between_sides.sel(schedule=schedule).values
    return values


def _claim(
    sentence: str,
    statistic: str,
    values: Callable[[str, str, Results], np.ndarray],
    direction: str,
    bound: float | tuple[float, float],
    schedule: str,
    whose: str | None = None,
) -> Claim:
    return Claim(
        f"{sentence} ({schedule})",
        statistic,
        partial(values, schedule, WITH),
        direction,  # type: ignore[arg-type]
        bound,
        control=Control("the coordinate is zero", partial(values, schedule, WITHOUT)),
        beside={"training loss at the end": partial(_end_loss, schedule)},
        whose=whose,
    )


def _end_loss(schedule: str, results: Results) -> np.ndarray:
    dataset = results[WITH].dataset
    return dataset.train_loss.sel(schedule=schedule).isel(step=-1).values


CLAIMS: tuple[Claim, ...] = (
    *(
        _claim(
            "A few outliers carry the instability: most of what moves most are they.",
            "share of outliers among the twenty examples whose losses move most",
            movers,
            "above",
            0.5,
            schedule,
        )
        for schedule in STEP_SIZES
    ),
    *(
        _claim(
            "They take the training to the edge of stability.",
            "ηλ/2 at the end",
            _edge,
            "within",
            (0.9, 1.1),
            schedule,
        )
        for schedule in STEP_SIZES
    ),
    *(
        _claim(
            "Outliers' losses move against each other.",
            "share of pairs of outliers whose changes of loss have a correlation below -1/2",
            opposed,
            "above",
            0.2,
            schedule,
        )
        for schedule in STEP_SIZES
    ),
    *(
        _claim(
            "The outliers of one side move against those of the other.",
            "correlation of the changes of the mean loss of either side",
            _between_sides,
            "below",
            0.0,
            schedule,
            whose="our own",
        )
        for schedule in STEP_SIZES
    ),
)
