"""What `compaction-glyphs` computes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from largestep.experiments.andriushchenko2023.glyphs.compute import NETWORKS
from largestep.experiments.budget import Budget
from largestep.experiments.deep_networks import LARGE
from largestep.experiments.extensions.compaction.compute import (
    error_of,
    pruned_by,
    size,
    was_lost,
)
from largestep.experiments.trainings import run_all
from largestep.store import Results

if TYPE_CHECKING:
    from torch import nn

    from largestep.deep.data import Dataset
    from largestep.deep.training import Trained, Training

__all__ = ["BY_STEP_SIZE", "COMPACT", "PRUNED", "compute", "schedules", "smallest"]

COMPACT, PRUNED = "compact", "pruned"
BY_STEP_SIZE = ("a quarter as large until 50%", "half as large until 50%", LARGE[2])
SETTINGS = ((1.0, 0.0), *((0.8, tolerance) for tolerance in (0.05, 0.1, 0.2, 0.5)))
"""Correlation thresholds and tolerances that are tried."""
TESTS = "glyphs:test_images=8000"
"""More letters of the same kind: a tenth of a point is four of half of them."""
ALLOWED, CALIBRATION, BISECTIONS = 0.001, 1000, 6


def schedules() -> "dict[str, Training]":
    """Return what is trained, by the name of the schedule."""
    from largestep.deep.training.presets import PRESETS, training

    networks = NETWORKS["batch-norm"]
    start = PRESETS[networks.preset].step_sizes["plain"].large
    changes: dict[str, Any] = {"evaluations": networks.evaluations, **networks.changes}
    gentler = {
        label: training(networks.preset, phase=0.5, step_size=share * start, **changes)
        for label, share in zip(BY_STEP_SIZE, (0.25, 0.5), strict=False)
    }
    return {**networks.schedules("plain"), **gentler}


def compute(budget: Budget) -> Results:
    """Return what became of every network."""
    from largestep.deep import data

    glyphs = data.load("glyphs", budget.data)
    work = partial(smallest, folder=budget.data)
    runs = run_all("compaction-glyphs", budget, schedules(), glyphs, work)
    return Results.from_dict({"glyphs": runs})


def smallest(
    trained: "Trained", settings: "Training", data: "Dataset", *, folder: Path | None
) -> xr.Dataset:
    """Return how small a network gets in both ways for `ALLOWED` of error, and what that costs.

    Returns
    -------
    Dataset with dimension way. Of a network that diverged or collapsed all is NaN.
    """
    from largestep.deep.compaction import compact
    from largestep.deep.data import load

    model = trained.model
    device = next(model.parameters()).device
    data, letters = data.to(device), load(TESTS, folder).to(device)
    x = data.normalise(data.x_train)
    held_out, unseen = (
        (data.normalise(letters.x_test[start::2]), letters.y_test[start::2]) for start in (0, 1)
    )
    before = error_of(model, held_out)
    found: dict[str, tuple[Any, int]] = {}
    if not was_lost(trained):

        def cheap(smaller: "nn.Module") -> bool:
            return error_of(smaller, held_out) <= before + ALLOWED

        candidates = [(model, 0)]
        for threshold, tolerance in SETTINGS:
            smaller, report = compact(
                model,
                [x[:CALIBRATION]],
                held_out=[held_out[0][:CALIBRATION]],
                tolerance=tolerance,
                correlation_threshold=threshold,
            )
            if cheap(smaller):
                candidates.append((smaller, sum(layer.dead for layer in report.layers)))
        found[COMPACT] = min(candidates, key=lambda candidate: size(candidate[0]))
        found[PRUNED] = _most_pruned(lambda ratio: pruned_by(model, ratio, x[:1]), cheap), 0
    rows = [
        {
            "parameters": size(smaller) / size(model),
            "dead": dead,
            "error_before": error_of(model, unseen),
            "error": error_of(smaller, unseen),
        }
        for smaller, dead in found.values()
    ]
    return xr.Dataset(
        {
            name: ("way", [row[name] for row in rows] or [np.nan] * 2, {"long_name": text})
            for name, text in (
                ("parameters", "share of parameters left"),
                ("dead", "dead channels removed"),
                ("error_before", "test error before"),
                ("error", "test error after"),
            )
        },
        coords={"way": [COMPACT, PRUNED]},
    )


def _most_pruned(
    at: "Callable[[float], nn.Module]", cheap: "Callable[[nn.Module], bool]"
) -> "nn.Module":
    low, high = 0.0, 0.9
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if cheap(at(middle)) else (low, middle)
    return at(low)
