"""`digits`: large steps in a deep network that trains anywhere."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments import deep_runs
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import (
    at_end,
    diverges_rarely,
    drops_at_decay,
    falls,
    falls_with_length,
    reached_before_decay,
    stabilises,
)
from largestep.figures.deep import draw_measures
from largestep.runs import Results

if TYPE_CHECKING:
    from largestep.deep.training import Training

SMALL, LARGE_STEP = "0.1", 2.0
PHASES = (0.1, 0.3, 0.5)
LARGE = tuple(f"2, /10 at {phase:.0%}" for phase in PHASES)
LENGTHS = tuple(f"{phase:.0%}" for phase in PHASES)
HELD = "LossStabilization"
RUN = "training"


def settings() -> "dict[str, Training]":
    """Return what is trained, by the name of the schedule."""
    from largestep.deep.presets import training

    return {
        SMALL: training("digits", "small", step_size=0.1),
        **{
            label: training("digits", "large", step_size=LARGE_STEP, phase=phase)
            for label, phase in zip(LARGE, PHASES, strict=True)
        },
        HELD: training("digits", "hold"),
    }


def compute(budget: Budget) -> Results:
    """Return the training runs."""
    from largestep.deep import data

    return {RUN: deep_runs.train_all("digits", budget, settings(), data.load("digits", train=500))}


def sparsity(dataset: xr.Dataset) -> xr.DataArray:
    """Return the feature sparsity of the last stage."""
    return dataset.distinct.sel(layer=dataset.layer[-1])


def error(dataset: xr.Dataset) -> xr.DataArray:
    """Return the test error."""
    return dataset.test_error


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw training loss, test error, sparsity of the last two stages, step size, survival."""
    return {"figure": draw_measures(results[RUN])}


def _held_against_best(results: Results) -> np.ndarray:
    dataset = results[RUN]
    labels = [SMALL, *LARGE]
    medians = [np.nanmedian(at_end(error(dataset), label)) for label in labels]
    best = labels[int(np.argmin(medians))]
    difference: np.ndarray = at_end(error(dataset), HELD) - at_end(error(dataset), best)
    return difference


CLAIMS: tuple[Claim, ...] = (
    stabilises(RUN, LARGE[2], until=0.5, step_size="η = 2"),
    drops_at_decay(RUN, LARGE[2], until=0.5, bound=0.5),
    falls(
        RUN,
        sparsity,
        "feature sparsity of the last stage",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at less than half of the small step's feature sparsity.",
        bound=0.5,
    ),
    *falls_with_length(RUN, sparsity, "feature sparsity of the last stage", LARGE, LENGTHS),
    reached_before_decay(RUN, sparsity, "feature sparsity of the last stage", LARGE[2], 0.5),
    falls(
        RUN,
        error,
        "test error",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at a lower test error than small ones.",
    ),
    *falls_with_length(RUN, error, "test error", LARGE, LENGTHS),
    diverges_rarely(RUN, LARGE[2]),
    Claim(
        "No run of LossStabilization diverges or collapses.",
        "1 if the seed has neither diverged nor collapsed",
        lambda results: results[RUN].diverged_at.sel(schedule=HELD).isnull().values.astype(float),
        "above",
        0.999,
        centre="mean",
    ),
    falls(
        RUN,
        sparsity,
        "feature sparsity of the last stage",
        from_schedule=SMALL,
        to_schedule=HELD,
        sentence="LossStabilization ends at less than two thirds of the small step's sparsity.",
        bound=2 / 3,
    ),
    Claim(
        "LossStabilization ends within half a point of the best schedule's test error.",
        "test error minus that of the schedule with the lowest median, same seed",
        _held_against_best,
        "below",
        0.005,
    ),
)

EXPERIMENT = Experiment(
    name="digits",
    title="A residual network on digits",
    shows="With large steps a deep network's last features are a fraction as dense, at no cost.",
    setting="""
A residual network with three stages of one block, of 16, 32 and 64 channels, batch norm and a
global average, on 500 of scikit-learn's 8 × 8 digits; the other 1297 are the test set. Batch size
32, 40 epochs, no momentum, weight decay or augmentation. Step size 0.1 throughout, or 2 until 10,
30 or 50 % of training, then a tenth of it, and a hundredth from 90 % on. LossStabilization finds
its own. The step size 2 is the largest of 0.1, 0.5, 1, 2 and 4 at which the network did not
collapse when these were tried before, on a network of the same kind.

Feature sparsity is measured after every stage on the training images, each channel at each position
a unit, 1000 of them at random, duplicates at a correlation of 0.95. Every seed is another
initialisation and order of the examples. A run whose outputs no longer depend on the input has
collapsed, and counts as diverged.
""",
    seconds=150,
    seeds=5,
    needs_torch=True,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
