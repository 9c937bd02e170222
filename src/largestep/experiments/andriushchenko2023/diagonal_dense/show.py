"""What `diagonal-dense` claims, and how it is drawn."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.diagonal.show import coordinates, rank
from largestep.experiments.andriushchenko2023.diagonal_dense.compute import LARGE, SMALL
from largestep.experiments.claims import Claim
from largestep.experiments.phases import falls, stabilises
from largestep.figures.diagonal import draw_measures
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the six panels of `diagonal`."""
    return {"figure": draw_measures(results["sgd"].dataset)}


CLAIMS: tuple[Claim, ...] = (
    stabilises("sgd", LARGE[2], SMALL, until=0.5, step_size="η = 0.17"),
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
