"""What `teacher-student` claims, and how it is drawn."""

from collections.abc import Mapping

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
from largestep.experiments.claims import Claim
from largestep.experiments.phases import (
    at_end,
    diverges_rarely,
    drops_at_decay,
    falls,
    falls_with_length,
    kept_after_decay,
    reached_before_decay,
    stabilises,
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


def _turned(results: Results) -> np.ndarray:
    return at_end(results["capped"].dataset.turned, SMALL)


def _gain(results: Results) -> np.ndarray:
    return _aligned(LARGE[2], results) - _aligned(SMALL, results)


CLAIMS: tuple[Claim, ...] = (
    stabilises("capped", LARGE[2], until=0.5, step_size="η = 0.455 (capped)"),
    drops_at_decay("capped", LARGE[2], until=0.5),
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
    reached_before_decay("capped", sparsity, "feature sparsity", LARGE[2], 0.5),
    kept_after_decay("capped", sparsity, "feature sparsity", LARGE[2], 0.5),
    Claim(
        "With small steps neurons barely move.",
        f"median turn of a neuron, degrees ({SMALL})",
        _turned,
        "below",
        10.0,
    ),
    Claim(
        "With large steps neurons align with the teacher's.",
        f"share of mass within 5° of a teacher, {LARGE[2]} minus {SMALL}, same seed",
        _gain,
        "above",
        0.0,
    ),
    diverges_rarely("sgd", LARGE[2]),
    diverges_rarely("capped", LARGE[2], dynamics="Capped SGD"),
)
