"""What `diagonal-gd` claims, and how it is drawn."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.diagonal.show import coordinates, rank
from largestep.experiments.andriushchenko2023.diagonal_gd.compute import (
    LARGE,
    SGD_SMALL,
    SGD_SURVIVING,
    SMALL,
)
from largestep.experiments.claims import Claim
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import (
    at_end,
    drops_at_decay,
    falls,
    ratio,
    stabilises,
    two_seeds,
)
from largestep.figures.curves import BANDS
from largestep.figures.diagonal import draw_gd
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw GD above SGD."""
    return {"figure": draw_gd(results["gd"].dataset, results["sgd"].dataset)}


def _gd(results: Results) -> np.ndarray:
    return at_end(results["gd"].dataset.test_loss, LARGE[2])


def _sgd(results: Results) -> np.ndarray:
    return at_end(results["sgd"].dataset.test_loss, SGD_SURVIVING)


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        (
            "Full-batch GD (upper row) beside SGD (lower row): training loss, test loss, "
            "coordinates that are left, and seeds that have not diverged. The seeds of GD "
            "differ by a millionth of the initialisation."
        )
        + BANDS,
        "Two rows of panels. Under GD with large steps the training loss stays near 0.05 "
        "and drops at the decay, and a fifth of the coordinates vanish, but the test loss "
        "stays above the small step's. Under SGD more coordinates vanish; at the larger of "
        "its two step sizes nine runs in ten diverge.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    stabilises("gd", LARGE[2], SMALL, until=0.5, step_size="η = 3.53 under full-batch GD"),
    drops_at_decay("gd", LARGE[2], SMALL, until=0.5),
    falls(
        "gd",
        coordinates,
        "number of coordinates",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Stochasticity is not needed for sparsity: GD with large steps is sparser.",
    ),
    falls(
        "gd",
        rank,
        "rank",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="GD with large steps ends at a lower rank.",
    ),
    falls(
        "gd",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=LARGE[2],
        to_schedule=SMALL,
        sentence="Large steps of GD do not generalise: the test loss is higher than after small.",
    ),
    Claim(
        "Large steps of GD generalise worse than large steps of SGD that survive.",
        f"final test loss, GD {LARGE[2]} over SGD {SGD_SURVIVING}, same seed",
        lambda results: ratio(_gd(results), _sgd(results)),
        "above",
        1.0,
        control=two_seeds(f"SGD {SGD_SURVIVING}", _sgd),
        beside={"GD": _gd, "SGD": _sgd},
    ),
    falls(
        "sgd",
        coordinates,
        "number of coordinates",
        from_schedule=SGD_SMALL,
        to_schedule=SGD_SURVIVING,
        sentence="SGD with large steps that survive is sparser than with small ones.",
    ),
    falls(
        "sgd",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=SGD_SMALL,
        to_schedule=SGD_SURVIVING,
        sentence="SGD with large steps that survive generalises better than with small ones.",
    ),
)
