"""What `tuning-free` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.extensions.tuning_free.figure import draw_pareto, draw_table
from largestep.experiments.extensions.tuning_free.judged import judged, lost_at_largest, near
from largestep.experiments.extensions.tuning_free.names import (
    GRIDS,
    HELD_ADAMW,
    HELD_HARDER,
    HELD_SGD,
    METHODS,
    TYPED,
)
from largestep.experiments.phases import next_seed, ratio
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the table of ratios, and error against sparsity."""
    found = judged(results)
    return {"figure": draw_table(found, TYPED), "pareto": draw_pareto(found)}


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "Test error over that of the best of the grids, medians over {seeds} seeds with intervals "
        "of 93.75 %; below each problem's name the error that is 1. Blue is better than the "
        "grids' best, red worse. Lost: runs that diverged, collapsed or learned less than half; "
        "their error counts as that of a constant. Time a step: processor time over that of AdamW, "
        "side by side, the median over problems.",
        "A table of methods by problems whose cells are coloured by the ratio.",
    ),
    "pareto": Caption(
        "Test error against the feature sparsity of the last hidden layer, medians over {seeds} "
        "seeds; small dots are seeds. Hollow: the grids' best step sizes. Lost runs are left out.",
        "A panel for each problem, with a marker for each method; lower left is better.",
    ),
}


def _of(results: Results, method: str, quantity: str) -> xr.DataArray | None:
    found = judged(results)
    return found[quantity].sel({"method": method}) if method in found.method else None


def _near(method: str, results: Results) -> np.ndarray:
    found = judged(results)
    if method not in found.method:
        return np.full(found.sizes["problem"], np.nan)
    return near(found).sel({"method": method}).values.astype(float)


def _there(method: str, results: Results) -> np.ndarray:
    lost = _of(results, method, "lost")
    return np.array([np.nan]) if lost is None else (~lost).values.ravel().astype(float)


def _over(quantity: str, method: str, other: str, results: Results) -> np.ndarray:
    """Return every problem's median over seeds of the ratio of two methods on the same seed."""
    mine, its = _of(results, method, quantity), _of(results, other, quantity)
    if mine is None or its is None:
        return np.array([np.nan])
    return _medians(ratio(mine.values, its.values))


def _next_over_this(quantity: str, method: str, results: Results) -> np.ndarray:
    """Return the same of one method on two seeds."""
    mine = _of(results, method, quantity)
    if mine is None:
        return np.array([np.nan])
    values = mine.transpose("problem", "seed").values
    return _medians(np.stack([ratio(next_seed(row), row) for row in values]))


def _sparsity_over_best(method: str, results: Results) -> np.ndarray:
    found = judged(results)
    if method not in found.method:
        return np.array([np.nan])
    its = np.stack(
        [
            found.sparsity.sel({"problem": p, "method": str(b)})
            for p, b in zip(found.problem.values, found.best.values, strict=True)
        ]
    )
    return _medians(ratio(found.sparsity.sel({"method": method}).values, its))


def _medians(values: np.ndarray) -> np.ndarray:
    """Return the median of each row over what is there."""
    return np.array(
        [np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in values]
    )


_LARGEST = list(GRIDS)[-1]

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"{method}, one setting, is near the best of the grids on most problems.",
            "1 if the median test error is at most a tenth, or half a point of a share, above that "
            "of the grids' best (2 % for text)",
            partial(_near, method),
            "above",
            0.5,
            centre="mean",
            control=Control(TYPED, partial(_near, TYPED)),
            over="problems",
        )
        for method in (HELD_ADAMW, HELD_SGD)
    ),
    *(
        Claim(
            f"{method} fails nowhere: more than nine runs in ten learn.",
            "1 if the run has neither diverged nor collapsed, and learned at least half of what "
            "the grids' best learns",
            partial(_there, method),
            "above",
            0.9,
            centre="mean",
            control=Control(
                f"{_LARGEST}, the largest step size", partial(lost_at_largest, method=_LARGEST)
            ),
            over="runs",
        )
        for method in (HELD_ADAMW, HELD_SGD)
    ),
    Claim(
        f"{HELD_ADAMW} errs less than what people type.",
        f"median over seeds of the test error over that of {TYPED}, same seed",
        partial(_over, "error", HELD_ADAMW, TYPED),
        "below",
        1.0,
        control=Control(f"{TYPED}, the next seed", partial(_next_over_this, "error", TYPED)),
        over="problems",
    ),
    Claim(
        f"{HELD_ADAMW} is sparser than the best of the grids.",
        "median over seeds of the feature sparsity over that of the grids' best, same seed",
        partial(_sparsity_over_best, HELD_ADAMW),
        "below",
        1.0,
        control=Control(TYPED, partial(_sparsity_over_best, TYPED)),
        over="problems",
    ),
    *(
        Claim(
            f"{method} errs more than {HELD_ADAMW}.",
            f"median over seeds of the test error over that of {HELD_ADAMW}, same seed",
            partial(_over, "error", method, HELD_ADAMW),
            "above",
            1.0,
            control=Control(
                f"{HELD_ADAMW}, the next seed", partial(_next_over_this, "error", HELD_ADAMW)
            ),
            over="problems",
            whose="rivals",
        )
        for method in METHODS
        if method not in (HELD_ADAMW, HELD_HARDER, TYPED)
    ),
)
