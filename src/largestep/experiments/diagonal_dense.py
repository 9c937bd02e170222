"""`diagonal-dense`: does sparsity help when the truth is dense? The control to `diagonal`."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import falls, stabilises
from largestep.experiments.diagonal import coordinates, rank, train
from largestep.figures.diagonal import draw_measures
from largestep.schedules import constant, decay
from largestep.store import Results

SMALL = "0.14"
LARGE = ("0.17, /4.8 at 10%", "0.17, /3.4 at 30%", "0.17, /1.5 at 50%")
SCHEDULES = {
    SMALL: constant(0.14),
    LARGE[0]: decay(0.17, factor=4.8, at=0.1),
    LARGE[1]: decay(0.17, factor=3.4, at=0.3),
    LARGE[2]: decay(0.17, factor=1.5, at=0.5),
}


def compute(budget: Budget) -> Results:
    """Return the trajectories of `diagonal` on a dense truth."""
    return {"sgd": train(budget, SCHEDULES, dense=True, description="diagonal-dense")}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the six panels of `diagonal`."""
    return {"figure": draw_measures(results["sgd"])}


CLAIMS: tuple[Claim, ...] = (
    stabilises("sgd", LARGE[2], until=0.5, step_size="η = 0.17"),
    falls(
        "sgd",
        rank,
        "rank",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps make the predictor sparser (rank) although the truth is dense.",
    ),
    falls(
        "sgd",
        coordinates,
        "number of coordinates",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps make the predictor sparser (coordinates) although the truth isn't.",
    ),
    falls(
        "sgd",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=LARGE[2],
        to_schedule=SMALL,
        sentence="With a dense truth large steps do not improve the test loss: they raise it.",
    ),
)

EXPERIMENT = Experiment(
    name="diagonal-dense",
    title="Alignment: a dense truth",
    shows="Large steps still make the predictor sparser, but the truth is not, and nothing is won.",
    setting="""
As `diagonal`, but the truth is |N(0, I)| on all 200 coordinates, scaled to norm 1. Its ℓ1 norm is
three times that of the sparse one, and the loss as much sharper: every run diverges at 0.282. The
step sizes are the two of the grid 0.04, 0.06, 0.08, 0.10, 0.11, …, 0.15, 0.17, 0.20 that play the
parts of 0.25 and 0.282: 0.14 is among the largest that converge with all coordinates alive, 0.17
the largest on a plateau that every seed survives.
""",
    seconds=10,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
