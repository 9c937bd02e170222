"""What `teacher-student` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from typing import Any

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
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import (
    at_end,
    drops_at_decay,
    fallen_and_stays,
    falls,
    falls_with_length,
    stabilises,
    tracks,
)
from largestep.figures.curves import BANDS
from largestep.figures.labels import readable
from largestep.figures.relu import draw_rows
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the measures, and the plane of neurons."""
    sgd, capped = results["sgd"].dataset, results["capped"].dataset
    return {
        "figure": draw_rows({"SGD": sgd, "capped SGD": capped}),
        "neurons": draw_plane(
            capped.sel(schedule=[SMALL, LARGE[2]]), STUDENT, TEACHER_ANGLES, TEACHER_OUTPUTS
        ),
    }


def play(results: Results) -> dict[str, Any]:
    """Return the first seed's neurons along both trainings, for the page's `neurons`."""
    curves = results["capped"].dataset.parameters.isel(seed=0).dropna("step", how="all")
    chosen = np.unique(np.geomspace(1, curves.sizes["step"], 60).astype(int)) - 1
    curves = curves.isel(step=chosen)
    tracks = {}
    for schedule in (SMALL, LARGE[2]):
        thetas = curves.sel(schedule=schedule).transpose("step", "parameter").values
        (inputs, _), (outputs, _) = STUDENT.unpack(thetas)
        tracks[schedule] = np.concatenate([inputs, outputs[:, 0, :, np.newaxis]], axis=-1)
    every = np.stack(list(tracks.values()))
    mass = np.abs(every[..., 2]) * np.linalg.norm(every[..., :2], axis=-1)
    return {
        "neurons": {
            "steps": curves.step.values.tolist(),
            "schedules": [
                {"label": readable(label), "neurons": track.round(3).tolist()}
                for label, track in tracks.items()
            ],
            "teachers": np.column_stack([TEACHER_ANGLES, TEACHER_OUTPUTS]).tolist(),
            "reach": round(1.05 * float(np.abs(every[..., :2]).max()), 2),
            "mass": float(mass.max()),
        }
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


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        (
            "Twenty neurons on fifteen points, by SGD as in the paper (upper row, where most "
            "seeds diverge) and with each example's step capped (lower row, which the claims "
            "use): training and test loss, rank of the Jacobian, feature sparsity coefficient, "
            "and seeds that have not diverged."
        )
        + BANDS,
        "Two rows of panels. With the cap all seeds survive, the loss stays up until the "
        "decay, and rank and feature sparsity fall to about a third of the small step's. "
        "Without it one seed in twenty is left.",
    ),
    "neurons": Caption(
        "Input weights of one network's neurons (seed 0, capped): hollow where they start, "
        "filled where they end, the larger the more the neuron adds to the function; shape "
        "and colour tell the sign of its output, broad rays are the teacher's neurons. a, "
        "the small step; b, the longest large-step phase.",
        "Two planes with twenty paths each. With the small step neurons end near where they "
        "started, in all directions. With large steps they wander far and end on the three "
        "rays of the teacher.",
    ),
}

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
