"""What the experiments on deep networks claim, and how they are drawn."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.deep_networks import HELD, LARGE, LENGTHS, SMALL, DeepNetworks
from largestep.experiments.phases import (
    at_end,
    drops_at_decay,
    fallen_and_stays,
    falls,
    falls_with_length,
    stabilises,
)
from largestep.figures.deep import draw_measures
from largestep.store import Results

__all__ = [
    "best",
    "claims",
    "claims_on",
    "draw",
    "error",
    "held_near_best",
    "sparsity",
]


def claims(networks: DeepNetworks) -> tuple[Claim, ...]:
    """Return the claims, on each data set and in each setting."""
    runs = [(dataset, setting) for dataset in networks.datasets for setting in networks.settings]
    if len(runs) == 1:
        return tuple(claims_on("/".join(runs[0])))
    return tuple(
        replace(claim, sentence=f"On {', '.join(run)}: {claim.sentence}")
        for run in runs
        for claim in claims_on("/".join(run))
    )


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the panels of every data set and setting."""
    first, *others = [
        (f"{dataset}-{setting}", draw_measures(node.dataset))
        for dataset, settings in results.items()
        for setting, node in settings.items()
    ]
    return {"figure": first[1], **dict(others)}


def sparsity(dataset: xr.Dataset) -> xr.DataArray:
    """Return the feature sparsity of the last stage."""
    return dataset.distinct.isel(layer=-1)


def error(dataset: xr.Dataset) -> xr.DataArray:
    """Return the test error."""
    return dataset.test_error


def best(dataset: xr.Dataset) -> str:
    """Return the schedule without control of the lowest median test error, all seeds there."""
    ends = {s: at_end(error(dataset), s) for s in dataset.schedule.values if s != HELD}
    whole = [label for label, errors in ends.items() if np.isfinite(errors).all()]
    return min(whole or ends, key=lambda label: float(np.nanmedian(ends[label])))


def held_near_best(run: str, small: str, sentence: str, statistic: str) -> Claim:
    """Claim that LossStabilization's test error is within half a point of the best schedule's."""

    def above_best(schedule: str, results: Results) -> np.ndarray:
        errors = error(results[run].dataset)
        difference: np.ndarray = at_end(errors, schedule) - at_end(
            errors, best(results[run].dataset)
        )
        return difference

    return Claim(
        sentence,
        statistic,
        partial(above_best, HELD),
        "below",
        0.005,
        control=Control(f"the step size {small}", partial(above_best, small)),
        beside={HELD: lambda r: at_end(error(r[run].dataset), HELD)},
        whose="our own",
    )


def claims_on(run: str) -> list[Claim]:
    """Return the claims on the networks of one node of the results."""
    sparsity_name, error_name = "feature sparsity of the last stage", "test error"

    return [
        stabilises(run, LARGE[2], SMALL, until=0.5, step_size="the large step size"),
        drops_at_decay(run, LARGE[2], SMALL, until=0.5, bound=0.5),
        falls(
            run,
            sparsity,
            sparsity_name,
            from_schedule=SMALL,
            to_schedule=LARGE[2],
            sentence=f"Large steps end at less than two thirds of small steps' {sparsity_name}.",
            bound=2 / 3,
        ),
        *falls_with_length(run, sparsity, sparsity_name, LARGE, LENGTHS),
        fallen_and_stays(
            run, sparsity, sparsity_name, large=LARGE[2], small=SMALL, until=0.5, bound=2 / 3
        ),
        falls(
            run,
            error,
            error_name,
            from_schedule=SMALL,
            to_schedule=LARGE[2],
            sentence=f"Large steps end at a lower {error_name} than small ones.",
        ),
        *falls_with_length(run, error, error_name, LARGE, LENGTHS),
        falls(
            run,
            sparsity,
            sparsity_name,
            from_schedule=SMALL,
            to_schedule=HELD,
            sentence=(
                f"LossStabilization ends at less than two thirds of small steps' {sparsity_name}."
            ),
            bound=2 / 3,
            whose="our own",
        ),
        held_near_best(
            run,
            SMALL,
            f"LossStabilization ends within half a point of the best schedule's {error_name}.",
            "test error minus that of the schedule with the lowest median, same seed",
        ),
    ]
