"""What `compaction` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim
from largestep.figures.compaction import draw_experiment
from largestep.store import Results

if TYPE_CHECKING:
    pass
from largestep.experiments.extensions.compaction.compute import (
    _LONG_NAMES,
    BY_LENGTH,
    BY_STEP_SIZE,
    CLOSE,
    EXACT,
    HELD,
    SMALL,
    WAYS,
)


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw size, cost, test error and difference of the outputs, by schedule."""
    figures = {name: draw_experiment(node.dataset) for name, node in results.items()}
    return {"figure": figures.pop("digits"), **figures}


def _values(name: str, schedule: str, way: str, results: Results) -> np.ndarray:
    values: np.ndarray = results["digits"].dataset[name].sel(schedule=schedule, way=way).values
    return values


def _smaller(name: str, than: str, what: str, way: str) -> Claim:
    def values(results: Results) -> np.ndarray:
        ratio: np.ndarray = _values("parameters", name, way, results) / _values(
            "parameters", than, way, results
        )
        return ratio

    return Claim(
        f"{what} ({way}).",
        f"parameters left, {name} over {than}, same seed",
        values,
        "below",
        1.0,
    )


def _lower(name: str, than: str, sentence: str, *, bound: float = 0.0) -> Claim:
    schedule = BY_STEP_SIZE[-1]

    def values(results: Results) -> np.ndarray:
        difference: np.ndarray = _values(name, schedule, CLOSE, results) - _values(
            than, schedule, CLOSE, results
        )
        return difference

    statistic = f"{_LONG_NAMES[name]}, minus {_LONG_NAMES[than]}; {schedule}, close, same seed"
    return Claim(sentence, statistic, values, "below", bound)


def _exact_changes_nothing(results: Results) -> np.ndarray:
    exact = results["digits"].dataset.sel(way=EXACT)
    change: np.ndarray = abs(exact.error - exact.error_before).values
    return change.ravel()


def _holds_unseen(results: Results) -> np.ndarray:
    unseen = results["digits"].dataset.unseen_difference.sel(way=CLOSE)
    allowed = WAYS[CLOSE]["tolerance"] + 1e-4
    held: np.ndarray = (unseen <= allowed).where(unseen.notnull()).values
    return held.ravel()


CLAIMS: tuple[Claim, ...] = (
    *(
        _smaller(BY_LENGTH[i + 1], BY_LENGTH[i], "The longer the phase, the smaller the network", w)
        for w in WAYS
        for i in range(2)
    ),
    *(
        _smaller(larger, smaller, "The larger the step size, the smaller the network", w)
        for w in WAYS
        for smaller, larger in zip((SMALL, *BY_STEP_SIZE[:-1]), BY_STEP_SIZE, strict=True)
    ),
    *(_smaller(HELD, SMALL, "Holding the loss gives a smaller network than 0.1", w) for w in WAYS),
    Claim(
        "Exact compaction changes no test error.",
        "change of the test error, all networks",
        _exact_changes_nothing,
        "below",
        1e-9,
        centre="mean",
    ),
    Claim(
        "What held-out data allow holds on unseen data: nine networks in ten keep the tolerance.",
        "1 if unseen outputs differ by no more than the tolerance, all networks, close",
        _holds_unseen,
        "above",
        0.9,
        centre="mean",
    ),
    _lower(
        "error",
        "error_before",
        "Close compaction costs less than half a point of test error.",
        bound=0.005,
    ),
    _lower("error", "pruned_error", "Compaction errs less than pruning to the same size."),
    _lower("tuned_error", "pruned_tuned_error", "It still does after fine-tuning both."),
    Claim(
        "The smaller network is faster.",
        f"latency after over before, {BY_STEP_SIZE[-1]}, close",
        partial(_values, "latency", BY_STEP_SIZE[-1], CLOSE),
        "below",
        1.0,
    ),
)
