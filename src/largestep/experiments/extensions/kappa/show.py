"""What `kappa` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.extensions.kappa.compute import KAPPAS, OPTIMIZERS, TEN_TIMES
from largestep.experiments.extensions.kappa.figure import draw_kappa
from largestep.experiments.phases import ratio, two_seeds
from largestep.store import Results

SMALL, LARGE = "κ = 0.5", "κ = 2"
RUINED = 0.1

CAPTIONS = {
    "figure": Caption(
        "Test error and feature sparsity of the last hidden layer against the curvature κ of the "
        "steps that is held: medians and the range of {seeds} seeds.",
        "Two panels over κ from 0.25 to 2, a line for each of three optimizers: the error hardly "
        "changes from κ = 0.5 on, the sparsity falls.",
    )
}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw error and sparsity against κ."""
    return {
        "figure": draw_kappa(
            {name: node.dataset.sel(schedule=list(KAPPAS)) for name, node in results.items()},
            list(KAPPAS.values()),
        )
    }


def _of(quantity: str, name: str, schedule: str, results: Results) -> np.ndarray:
    values: np.ndarray = results[name].dataset[quantity].sel(schedule=schedule).values
    return values


def _sparser(name: str, results: Results) -> np.ndarray:
    return ratio(*(_of("sparsity", name, schedule, results) for schedule in (LARGE, SMALL)))


def _error_over_small(name: str, schedule: str, results: Results) -> np.ndarray:
    larger, smaller = (_of("test_error", name, s, results) for s in (schedule, SMALL))
    return larger - smaller


def _whole(schedules: tuple[str, ...], results: Results) -> np.ndarray:
    """Return 1 for every run that is not ruined, 0 for one that is."""
    errors = [_of("train_error", name, s, results) for name in OPTIMIZERS for s in schedules]
    return (np.concatenate(errors) < RUINED).astype(float)


CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"A larger κ makes features sparser ({name}).",
            "feature sparsity at κ = 2 over that at κ = 0.5, same seed",
            partial(_sparser, name),
            "below",
            0.8,
            control=two_seeds(SMALL, partial(_of, "sparsity", name, SMALL)),
        )
        for name in OPTIMIZERS
    ),
    *(
        Claim(
            f"It costs less than a point of test error ({name}).",
            "test error at κ = 2 minus that at κ = 0.5, same seed",
            partial(_error_over_small, name, LARGE),
            "below",
            0.01,
            control=Control(TEN_TIMES, partial(_error_over_small, name, TEN_TIMES)),
        )
        for name in OPTIMIZERS
    ),
    Claim(
        "No κ up to 2 ruins a run, whatever the optimizer.",
        "1 if it errs on less than a tenth of the training images",
        partial(_whole, tuple(KAPPAS)),
        "above",
        0.9,
        centre="mean",
        control=Control(TEN_TIMES, partial(_whole, (TEN_TIMES,))),
        over="runs",
    ),
)
