"""What `three-layer` claims, and how it is drawn."""

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.teacher_student.show import rank, sparsity
from largestep.experiments.andriushchenko2023.three_layer.setting import LARGE, LENGTHS, SMALL
from largestep.experiments.claims import Claim
from largestep.experiments.phases import (
    drops_at_decay,
    fallen_and_stays,
    falls,
    falls_with_length,
    stabilises,
    tracks,
)
from largestep.figures.relu import draw_rows
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the measures of both dynamics."""
    return {
        "figure": draw_rows(
            {"SGD": results["sgd"].dataset, "capped SGD": results["capped"].dataset}
        )
    }


def first_layer(dataset: xr.Dataset) -> xr.DataArray:
    """Return the feature sparsity coefficient of the first hidden layer."""
    return dataset.feature_sparsity_1


CLAIMS: tuple[Claim, ...] = (
    stabilises("capped", LARGE[2], SMALL, until=0.5, step_size="0.04 and above (capped)"),
    drops_at_decay("capped", LARGE[2], SMALL, until=0.5),
    *falls_with_length("capped", rank, "rank", LARGE, LENGTHS),
    *falls_with_length("capped", sparsity, "feature sparsity (last layer)", LARGE, LENGTHS),
    *falls_with_length("capped", lambda d: d.test_loss, "test loss", LARGE, LENGTHS),
    falls(
        "capped",
        first_layer,
        "feature sparsity (first layer)",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps make the first layer's features sparser.",
    ),
    falls(
        "capped",
        sparsity,
        "feature sparsity (last layer)",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps make the last layer's features sparser.",
    ),
    falls(
        "capped",
        lambda d: d.test_loss,
        "test loss",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at a lower test loss than small ones.",
    ),
    fallen_and_stays(
        "capped",
        sparsity,
        "feature sparsity (last layer)",
        large=LARGE[2],
        small=SMALL,
        until=0.5,
        bound=0.7,
    ),
    tracks("capped", first_layer, "feature sparsity (first layer)", rank),
    tracks("capped", sparsity, "feature sparsity (last layer)", rank),
)
