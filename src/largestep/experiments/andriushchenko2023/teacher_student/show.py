"""What `teacher-student` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.teacher_student.figure import draw_plane
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    LARGE,
    LENGTHS,
    SMALL,
    STUDENT,
    TEACHER_ANGLES,
    TEACHER_OUTPUTS,
)
from largestep.experiments.claims import Claim, Control
from largestep.experiments.phases import (
    at_end,
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
    """Draw the measures, and the plane of neurons."""
    sgd, capped = results["sgd"].dataset, results["capped"].dataset
    return {
        "figure": draw_rows({"SGD": sgd, "capped SGD": capped}),
        "neurons": draw_plane(capped, STUDENT, TEACHER_ANGLES, TEACHER_OUTPUTS),
    }


def rank(dataset: xr.Dataset) -> xr.DataArray:
    """Return the rank of the Jacobian."""
    return dataset.jacobian_rank


def sparsity(dataset: xr.Dataset) -> xr.DataArray:
    """Return the feature sparsity coefficient of the last hidden layer."""
    return dataset.feature_sparsity


def _aligned(schedule: str, results: Results) -> np.ndarray:
    return at_end(results["capped"].dataset.aligned_share, schedule)


def _turned(schedule: str, results: Results) -> np.ndarray:
    return at_end(results["capped"].dataset.turned, schedule)


CLAIMS: tuple[Claim, ...] = (
    stabilises("capped", LARGE[2], SMALL, until=0.5, step_size="η = 0.455 (capped)"),
    drops_at_decay("capped", LARGE[2], SMALL, until=0.5),
    *falls_with_length("capped", rank, "rank", LARGE, LENGTHS),
    *falls_with_length("capped", sparsity, "feature sparsity", LARGE, LENGTHS),
    *falls_with_length("capped", lambda d: d.test_loss, "test loss", LARGE, LENGTHS),
    falls(
        "capped",
        sparsity,
        "feature sparsity",
        from_schedule=SMALL,
        to_schedule=LARGE[2],
        sentence="Large steps end at less than half of the small step's feature sparsity.",
        bound=0.5,
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
        "feature sparsity",
        large=LARGE[2],
        small=SMALL,
        until=0.5,
        bound=0.5,
    ),
    tracks("capped", sparsity, "feature sparsity", rank),
    Claim(
        "With small steps neurons barely move.",
        f"median turn of a neuron, degrees ({SMALL})",
        partial(_turned, SMALL),
        "below",
        10.0,
        control=Control(LARGE[2], partial(_turned, LARGE[2])),
    ),
    Claim(
        "With large steps neurons align with the teacher's.",
        f"share of mass within 5° of a teacher at the end ({LARGE[2]})",
        partial(_aligned, LARGE[2]),
        "above",
        0.75,
        control=Control(SMALL, partial(_aligned, SMALL)),
    ),
)
