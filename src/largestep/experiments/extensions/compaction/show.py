"""What `compaction` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control, Values
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
from largestep.experiments.phases import next_seed, ratio, two_seeds
from largestep.figures.compaction import draw_experiment
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw size, cost, test error and difference of the outputs, by schedule."""
    figures = {name: draw_experiment(node.dataset) for name, node in results.items()}
    return {"figure": figures.pop("digits"), **figures}


def _values(name: str, schedule: str, way: str, results: Results) -> np.ndarray:
    values: np.ndarray = results["digits"].dataset[name].sel(schedule=schedule, way=way).values
    return values


def _smaller(name: str, than: str, what: str, way: str) -> Claim:
    mine, other = (partial(_values, "parameters", schedule, way) for schedule in (name, than))
    return Claim(
        f"{what} ({way}).",
        f"parameters left, {name} over {than}, same seed",
        lambda r: ratio(mine(r), other(r)),
        "below",
        1.0,
        control=two_seeds(than, other),
        beside={name: mine, than: other},
    )


def _lower(
    name: str, than: str, sentence: str, control: tuple[str, Values], *, bound: float = 0.0
) -> Claim:
    mine, other = (partial(_values, key, BY_STEP_SIZE[-1], CLOSE) for key in (name, than))
    return Claim(
        sentence,
        f"{_LONG_NAMES[name]}, minus {_LONG_NAMES[than]}; {BY_STEP_SIZE[-1]}, close, same seed",
        lambda r: mine(r) - other(r),
        "below",
        bound,
        control=Control(*control),
        beside={name: mine, than: other},
    )


def _luck(name: str) -> tuple[str, Values]:
    pruned = partial(_values, name, BY_STEP_SIZE[-1], CLOSE)
    return (
        f"{_LONG_NAMES[name]}, the next seed's minus this one's",
        lambda r: next_seed(pruned(r)) - pruned(r),
    )


def _no_error_changes(way: str, results: Results) -> np.ndarray:
    chosen = results["digits"].dataset.sel(way=way)
    change = abs(chosen.error - chosen.error_before)
    same: np.ndarray = (change < 1e-9).where(change.notnull()).transpose("seed", ...).values
    return np.where(np.isnan(same).any(axis=1), np.nan, same.all(axis=1))


def _holds_unseen(share: float, results: Results) -> np.ndarray:
    unseen = results["digits"].dataset.unseen_difference.sel(way=CLOSE).transpose("seed", ...)
    allowed = share * WAYS[CLOSE]["tolerance"] + 1e-4
    held = (unseen <= allowed).where(unseen.notnull())
    found: np.ndarray = held.mean("schedule").values
    return found


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
        "Exact compaction changes no test error: in more than half of the seeds none at all.",
        "1 if the test error of every network of the seed is the same before and after",
        partial(_no_error_changes, EXACT),
        "above",
        0.5,
        centre="mean",
        control=Control("close compaction", partial(_no_error_changes, CLOSE)),
    ),
    Claim(
        "What held-out data allow holds on unseen data: nine networks in ten keep the tolerance.",
        "share of the seed's networks whose unseen outputs differ by no more than it, close",
        partial(_holds_unseen, 1.0),
        "above",
        0.9,
        control=Control("a tenth of the tolerance", partial(_holds_unseen, 0.1)),
    ),
    _lower(
        "error",
        "error_before",
        "Close compaction costs less than half a point of test error.",
        (
            "pruning to the same size",
            lambda r: (
                _values("pruned_error", BY_STEP_SIZE[-1], CLOSE, r)
                - _values("error_before", BY_STEP_SIZE[-1], CLOSE, r)
            ),
        ),
        bound=0.005,
    ),
    _lower(
        "error",
        "pruned_error",
        "Compaction errs less than pruning to the same size.",
        _luck("pruned_error"),
    ),
    _lower(
        "tuned_error",
        "pruned_tuned_error",
        "It still does after fine-tuning both.",
        _luck("pruned_tuned_error"),
    ),
    Claim(
        "The smaller network is faster.",
        f"latency after over before, {BY_STEP_SIZE[-1]}, close",
        partial(_values, "latency", BY_STEP_SIZE[-1], CLOSE),
        "below",
        1.0,
        control=Control(f"{SMALL}, exact", partial(_values, "latency", SMALL, EXACT)),
    ),
)
