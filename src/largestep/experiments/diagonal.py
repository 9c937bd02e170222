"""`diagonal`: the paper's central figure, on diagonal linear networks."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from largestep import measures, networks, problems
from largestep.dynamics import SGD, simulate
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import (
    diverges_rarely,
    drops_at_decay,
    falls,
    falls_with_length,
    kept_after_decay,
    reached_before_decay,
    stabilises,
)
from largestep.figures.diagonal import draw_measures
from largestep.schedules import Schedule, constant, decay
from largestep.store import Results

STEPS = 100_001
SMALL = "0.25"
LARGE = ("0.282, /4.8 at 10%", "0.282, /3.4 at 30%", "0.282, /1.5 at 50%")
LENGTHS = ("10%", "30%", "50%")

SCHEDULES = {
    SMALL: constant(0.25),
    LARGE[0]: decay(0.282, factor=4.8, at=0.1),
    LARGE[1]: decay(0.282, factor=3.4, at=0.3),
    LARGE[2]: decay(0.282, factor=1.5, at=0.5),
}
MEASURES = (
    "train_loss",
    "test_loss",
    "nonzero_coordinates",
    measures.jacobian_rank((1e-4, 1e-15), every=12),
)


def rank(dataset: xr.Dataset) -> xr.DataArray:
    """Return the rank of the Jacobian at the tolerance that stands above rounding, 1e-4."""
    return dataset.jacobian_rank.sel(threshold=1e-4)


def coordinates(dataset: xr.Dataset) -> xr.DataArray:
    """Return the number of non-zero coordinates of the predictor."""
    return dataset.nonzero_coordinates


def train(
    budget: Budget, schedules: Mapping[str, Schedule], *, dense: bool, description: str
) -> xr.Dataset:
    """Train under the schedules, each seed an order of the examples."""
    return simulate(
        networks.DiagonalLinear(d=200, u0=0.1, v0=0.0),
        problems.sparse_regression(n=80, d=200, nonzeros=20, seed=0, dense=dense),
        SGD(batch_size=1),
        schedules,
        steps=budget.steps(STEPS),
        seeds=budget.seeds,
        measure=MEASURES,
        threads=budget.threads,
        progress=description if budget.progress else None,
    )


def compute(budget: Budget) -> Results:
    """Return the trajectories of `diagonal`."""
    return {"sgd": train(budget, SCHEDULES, dense=False, description="diagonal")}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the six panels of `diagonal`."""
    return {"figure": draw_measures(results["sgd"])}


CLAIMS: tuple[Claim, ...] = (
    stabilises("sgd", LARGE[2], until=0.5, step_size="η = 0.282"),
    drops_at_decay("sgd", LARGE[2], until=0.5),
    *falls_with_length("sgd", rank, "rank", LARGE, LENGTHS),
    *falls_with_length("sgd", coordinates, "number of coordinates", LARGE, LENGTHS),
    *falls_with_length("sgd", lambda d: d.test_loss, "test loss", LARGE, LENGTHS),
    falls(
        "sgd",
        rank,
        "rank",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at less than half of the small step's rank.",
        bound=0.5,
    ),
    falls(
        "sgd",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at less than a tenth of the small step's test loss.",
        bound=0.1,
    ),
    reached_before_decay("sgd", rank, "rank", LARGE[2], 0.5),
    kept_after_decay("sgd", rank, "rank", LARGE[2], 0.5),
    diverges_rarely("sgd", LARGE[2], share=0.5),
)

EXPERIMENT = Experiment(
    name="diagonal",
    title="Diagonal linear networks",
    shows="Large steps hold the loss on a plateau, where the network grows sparse and generalises.",
    setting="""
Sparse regression with n = 80 points in d = 200 dimensions, X ~ N(0, I), 1000 test points; the
truth is |N(0, I)| on 20 coordinates, scaled to norm 1. The network is h(x) = ⟨u ⊙ v, x⟩ from
u = 0.1, v = 0. SGD with batch size 1 for 100 001 steps; every seed is another order of the
examples on the same data (the paper shows one).

The rank is that of the Jacobian at 400 test inputs. The paper's tolerance, 1e-15 of the largest
singular value, lies below rounding; 1e-4 is shown beside it, and the claims use it. A coordinate
is non-zero above 1e-6 of the largest. A run has diverged when a residual exceeds 1e6; curves and
claims are over the seeds still there, and panel e says how many they are.
""",
    seconds=10,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
