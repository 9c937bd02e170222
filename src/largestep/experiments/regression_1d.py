"""`regression-1d`: a ReLU network fits twelve points on a line."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep import measures, networks, problems
from largestep.dynamics import SGD, simulate
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import (
    at_end,
    diverges_rarely,
    drops_at_decay,
    falls,
    kept_after_decay,
    reached_before_decay,
    stabilises,
)
from largestep.figures.regression import draw_fits, draw_measures
from largestep.schedules import Schedule, decay, linear
from largestep.store import Results

SHORT = "warm-up for 2%, then /2.5"
LONG = "warm-up for 50%, then /3"
LONGER = "steeper warm-up for 50%, then /3"


def warm_up(until: float, *, steepness: float, divisor: float) -> Schedule:
    """Return η_t = 0.0002·(1 + (F − 1)·t) for t < until with F = steepness·until, then divided."""
    peak_at_the_end = 0.0002 * steepness * until
    return decay(linear(0.0002, peak_at_the_end), factor=divisor, at=until)


SCHEDULES = {
    SHORT: warm_up(0.02, steepness=400, divisor=2.5),
    LONG: warm_up(0.5, steepness=400, divisor=3),
    LONGER: warm_up(0.5, steepness=500, divisor=3),
}


STEPS = 31_623
NETWORK = networks.ReLU(
    widths=(1, 100),
    biases=(True, False),
    weights_from=(networks.Signs(2.5), networks.Gaussian(4.0)),
    biases_from=networks.Gaussian(2.5),
)


def compute(budget: Budget) -> Results:
    """Return the trajectories of `regression-1d`."""
    return {
        "sgd": simulate(
            NETWORK,
            problems.one_dimensional_regression(),
            SGD(batch_size=1),
            SCHEDULES,
            steps=budget.steps(STEPS),
            seeds=budget.seeds,
            measure=(
                "train_loss",
                measures.jacobian_rank(1e-4, every=20),
                measures.feature_sparsity(0.999, every=3),
                measures.predictions(every=20),
            ),
            threads=budget.threads,
            progress="regression-1d" if budget.progress else None,
        )
    }


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the measures, and the fits at the start, on the plateau and at the end."""
    problem = problems.one_dimensional_regression()
    return {
        "figure": draw_measures(results["sgd"]),
        "fits": draw_fits(
            results["sgd"].predictions.sel(schedule=[SHORT, LONG]), problem, plateau_at=0.48
        ),
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
    return _variation_of_slope(results["sgd"], LONG) / _variation_of_slope(results["sgd"], SHORT)


def _underfits(results: Results) -> np.ndarray:
    ratio: np.ndarray = at_end(results["sgd"].train_loss, LONGER) / at_end(
        results["sgd"].train_loss, LONG
    )
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

EXPERIMENT = Experiment(
    name="regression-1d",
    title="Fitting points on a line",
    shows="After a long large-step phase a wide ReLU network fits the points by few kinks.",
    setting="""
Twelve points, a two-layer ReLU network with 100 neurons and biases in the first layer: weights
±2.5, biases 2.5·N(0, 1), output weights 4·N(0, 1). SGD with batch size 1, 31 623 steps. Seeds draw
the initialisation and the order of the examples.

The step size warms up as η = 0.0002·(1 + (F − 1)·t), t the fraction of the whole run, until t = s,
and is then divided: s = 2 %, by 2.5; s = 50 %, by 3; F = 400 s. These are the paper's schedules:
the two differ 73-fold in their late step size, so they compare more than the length of a phase.
The third line is the paper's over-regularised case, F = 500 s.

The rank is that of the Jacobian at 300 uniform inputs (tolerance 1e-4); the feature sparsity
coefficient is taken at the twelve points (correlation threshold 0.999).
""",
    seconds=20,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
