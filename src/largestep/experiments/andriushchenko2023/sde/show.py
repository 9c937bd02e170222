"""What `sde` claims, and how it is drawn."""

from collections.abc import Collection, Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.sde.compute import (
    DATA_SEEDS,
    EXAMPLE_RUN,
    FINE_RUN,
    LOSS_RUN,
    REFERENCE,
    SDE_RUN,
    SGD_RUN,
    TABLE,
    TEXTBOOK_PROBLEMS,
    VARYING_RUN,
    quantities,
)
from largestep.experiments.andriushchenko2023.sde.figure import (
    draw_agreement,
    draw_curves,
    draw_textbook,
)
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import next_seed, ratio
from largestep.figures.curves import BANDS
from largestep.statistics import energy_test, holm
from largestep.store import Results

ON_PLATEAU = ("30%", "49%")


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw SGD and the SDE, the table of their agreement, and the textbook's SDEs."""
    rows = {
        name: (results[f"{name}/{SGD_RUN}"].dataset, results[f"{name}/{SDE_RUN}"].dataset)
        for name, ways in results.items()
        if ways.children
    }
    return {
        "figure": draw_curves(rows, quantities),
        "agreement": draw_agreement(results[TABLE].dataset),
        "textbook": draw_textbook(
            {
                problem: {
                    way: results[f"{problem}/{way}"].dataset
                    for way in (SGD_RUN, SDE_RUN, EXAMPLE_RUN, LOSS_RUN)
                }
                for problem in TEXTBOOK_PROBLEMS
            }
        ),
    }


def _typical(run: str, quantity: str, start: float, end: float, results: Results) -> np.ndarray:
    """Return each seed's median from one fraction of SGD's training to another."""
    steps = float(results[f"{run.partition('/')[0]}/{SGD_RUN}"].dataset.step[-1])
    measured = results[run].dataset[quantity].dropna("step", how="all")
    chosen = measured.sel(step=slice(start * steps, end * steps))
    if chosen.sizes["step"] == 0:
        return np.full(measured.sizes["seed"], np.nan)
    middle: np.ndarray = chosen.median("step", skipna=False).values
    return middle


def _over_sgd(
    problem: str,
    kinds: Collection[str],
    way: str,
    span: tuple[float, float],
    results: Results,
    sgd_span: tuple[float, float] | None = None,
) -> np.ndarray:
    """Return an SDE's typical values over SGD's, (seeds, measures), of the same seeds."""
    names = [q for q in quantities(results[f"{problem}/{way}"].dataset) if q in kinds]
    columns = [
        ratio(
            _typical(f"{problem}/{way}", q, *span, results),
            _typical(f"{problem}/{SGD_RUN}", q, *(sgd_span or span), results),
        )
        for q in names
    ]
    return np.stack(columns, axis=1)


def _agrees(
    sentence: str, problem: str, kinds: Collection[str], span: tuple[float, float], when: str
) -> Claim:
    other, what = (_START, "at the start") if span != _START else (_PLATEAU, "on the plateau")
    return Claim(
        f"{sentence} ({problem}).",
        f"median {when}, SDE over SGD, same seed, every measure (the worst of them)",
        partial(_over_sgd, problem, kinds, SDE_RUN, span),
        "within",
        _A_QUARTER,
        control=Control(
            f"SGD itself {what}",
            partial(_over_sgd, problem, kinds, SDE_RUN, span, sgd_span=other),
        ),
    )


def _same_law(results: Results, *, control: bool = False) -> np.ndarray:
    """Return 1 for every problem, measure and time at which the energy test does not reject."""
    table = results[TABLE].dataset.sel(time=list(ON_PLATEAU))
    p = table.p.values.ravel()
    if control:
        tests = [
            _different(results[f"{problem}/{SGD_RUN}"].dataset[quantity])
            for problem in table.problem.values
            for quantity in quantities(results[f"{problem}/{SGD_RUN}"].dataset)
        ]
        p = holm(np.array(tests))
    return np.where(np.isfinite(p), p > 0.05, np.nan)


def _different(quantity: xr.DataArray) -> float:
    """Return the p-value of SGD on the plateau against SGD early in training."""
    measured = quantity.dropna("step", how="all")
    steps = float(quantity.step[-1])
    early, late = (
        measured.sel(step=slice(None, share * steps)).isel(step=-1).values for share in (0.03, 0.49)
    )
    usable = len(early) > 1 and np.isfinite([early, late]).all()
    return energy_test(early, late)[1] if usable else np.nan


def _distance(way: str, results: Results, *, shuffled: bool = False) -> np.ndarray:
    """Return how far, in logarithms and on average, an SDE is from SGD early in training."""
    kinds = quantities(results[f"{REFERENCE}/{SGD_RUN}"].dataset)
    apart = np.abs(np.log(_over_sgd(REFERENCE, kinds, way, _EARLY, results)))
    mean: np.ndarray = apart.mean(axis=1)
    return next_seed(mean) if shuffled else mean


def _plateau_level(way: str, results: Results, span: tuple[float, float]) -> np.ndarray:
    losses = results[f"{REFERENCE}/{way}"].dataset.train_loss
    steps = float(losses.step[-1])
    level: np.ndarray = losses.sel(step=slice(span[0] * steps, span[1] * steps)).mean("step").values
    return level


def _on_plateau(problem: str, way: str, results: Results) -> np.ndarray:
    """Return 1 for every seed whose loss stays within a factor 2 of SGD's; 0 for the diverged."""
    level = _over_sgd(problem, ("train_loss",), way, _PLATEAU, results)[:, 0]
    within = np.abs(np.log(np.where(np.isfinite(level), level, np.inf))) < np.log(2)
    return within.astype(float)


def _textbook(problem: str, way: str, what: str) -> Claim:
    return Claim(
        f"The textbook SDE, {what}, does not stay on SGD's plateau ({problem}).",
        "1 if the median loss from 20 % to 49 % is within a factor 2 of SGD's, same seed; "
        "0 if it is not, or the run has diverged",
        partial(_on_plateau, problem, way),
        "below",
        0.5,
        "mean",
        control=Control("the SDE with constant noise", partial(_on_plateau, problem, SDE_RUN)),
        beside={
            f"{way}, loss": partial(_typical, f"{problem}/{way}", "train_loss", *_PLATEAU),
            "SGD, loss": partial(_typical, f"{problem}/{SGD_RUN}", "train_loss", *_PLATEAU),
        },
        whose="our own",
    )


LOSSES = ("train_loss", "test_loss")
SPARSITY = ("nonzero_coordinates", "feature_sparsity", "jacobian_rank")
_A_QUARTER = (1 / 1.25, 1.25)
_START, _EARLY = (0.0, 0.011), (0.025, 0.11)
_PLATEAU, _END = (0.2, 0.49), (0.9, 1.0)
_PROBLEMS = (*(f"diagonal, data {seed}" for seed in DATA_SEEDS), "teacher-student", "regression-1d")

CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        (
            "SGD (each example's step capped) and the SDE of constant noise, a row for each "
            "problem: training and test loss, the problem's measure of sparsity, and the rank "
            "of the Jacobian."
        )
        + BANDS,
        "Six rows of panels. Until the decay at half of the steps the SDE's losses lie near "
        "SGD's on most problems; early in training its rank and number of coordinates fall "
        "later. On data 7 and on regression-1d they stay apart.",
    ),
    "agreement": Caption(
        "The SDE's median over SGD's for every problem, measure and time, over {seeds}; 1 "
        "is agreement. A dot: the two samples differ (energy test at 5 %, Holm's "
        "correction). “Not flat”: the loss drifts, and the problem is not counted.",
        "A table of ratios, coloured from half (blue) over one (white) to twice (red). Most "
        "lie near one at 30 % and 49 % of the steps on data 0, 1 and 5; early and after the "
        "decay many do not.",
    ),
    "textbook": Caption(
        "SGD, the SDE of constant noise, and two textbook SDEs over the large-step phase: training "
        "loss, coordinates that are left, and seeds that have not diverged." + BANDS,
        "A row of three panels for each problem. The SDE of constant noise stays near SGD's "
        "plateau; the one with each example's own noise diverges, the one with noise by the "
        "current loss leaves the plateau or diverges.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    *(
        _agrees(
            f"On the plateau the SDE's {what} agree with SGD's within a quarter",
            problem,
            kinds,
            _PLATEAU,
            "from 20 % to 49 % of training",
        )
        for what, kinds in (("losses", LOSSES), ("sparsity and rank", SPARSITY))
        for problem in _PROBLEMS
    ),
    *(
        _agrees(
            f"{when} the SDE's sparsity and rank agree with SGD's within a quarter",
            problem,
            SPARSITY,
            span,
            span_in_words,
        )
        for when, span, span_in_words in (
            ("Early in training", _EARLY, "from 2.5 % to 11 % of training"),
            ("At the end", _END, "over the last tenth of training"),
        )
        for problem in _PROBLEMS
    ),
    Claim(
        "On the plateau the distributions are the same.",
        "1 if the energy test does not reject at 5 % (Holm), at 30 % and 49 %, every measure and "
        "problem",
        _same_law,
        "above",
        0.9,
        centre="mean",
        control=Control("SGD at 3 % against SGD at 49 %", partial(_same_law, control=True)),
        over="comparisons (of the same seeds, so not independent)",
    ),
    Claim(
        "A measured δ(t) brings the SDE nearer to SGD early in training.",
        "mean |log ratio| to SGD over every measure, 2.5 % to 11 % of training, with δ(t) minus "
        f"with constant δ, same seed ({REFERENCE})",
        lambda r: _distance(VARYING_RUN, r) - _distance(SDE_RUN, r),
        "below",
        0.0,
        control=Control(
            "constant δ, the next seed's minus this one's",
            lambda r: _distance(SDE_RUN, r, shuffled=True) - _distance(SDE_RUN, r),
        ),
    ),
    Claim(
        "Refining dt to η/4 leaves the plateau where it is, within a twentieth.",
        f"mean plateau loss at dt = η/4 over that at dt = η, same seed ({REFERENCE})",
        lambda r: ratio(
            _plateau_level(FINE_RUN, r, _PLATEAU), _plateau_level(SDE_RUN, r, _PLATEAU)
        ),
        "within",
        (0.95, 1.05),
        control=Control(
            "the loss after the decay over that on the plateau",
            lambda r: ratio(_plateau_level(SDE_RUN, r, _END), _plateau_level(SDE_RUN, r, _PLATEAU)),
        ),
    ),
    *(
        _textbook(problem, way, what)
        for problem in TEXTBOOK_PROBLEMS
        for way, what in (
            (EXAMPLE_RUN, "with each example's own noise"),
            (LOSS_RUN, "with noise by the current loss"),
        )
    ),
)
