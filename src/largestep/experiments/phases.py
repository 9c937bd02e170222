"""Claims that several experiments share: plateaus, and sparsity against the large-step phase."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from largestep import metrics
from largestep.experiments.claims import Claim
from largestep.store import Results

__all__ = [
    "at_end",
    "diverges_rarely",
    "drops_at_decay",
    "falls",
    "falls_with_length",
    "kept_after_decay",
    "last_before",
    "reached_before_decay",
    "stabilises",
]

Quantity = Callable[[xr.Dataset], xr.DataArray]
"""Picks a quantity with dimensions schedule, seed, step out of a dataset."""


def at_end(quantity: xr.DataArray, schedule: str) -> np.ndarray:
    """Return the last value of every seed; NaN for the diverged."""
    return quantity.sel(schedule=schedule).isel(step=-1).values


def last_before(quantity: xr.DataArray, schedule: str, share: float) -> np.ndarray:
    """Return every seed's last measurement within the first `share` of training."""
    curve = quantity.sel(schedule=schedule)
    measured = curve.dropna("step", how="all")
    before = measured.sel(step=slice(None, share * float(curve.step[-1])))
    return before.isel(step=-1).values


def stabilises(run: str, schedule: str, *, until: float, step_size: str) -> Claim:
    """Claim that most seeds that survive the large-step phase have a plateau in it.

    A tenth of the phase is enough: single runs burst by decades, which cuts a plateau to pieces.
    """

    def values(results: Results) -> np.ndarray:
        found = [
            plateau is not None for plateau in _plateaus(results[run].dataset, schedule, until)
        ]
        return np.where(_survived(results[run].dataset, schedule, until), found, np.nan)

    return Claim(
        f"The training loss stabilises at {step_size}.",
        f"1 if a plateau fills a tenth of the large-step phase or more ({schedule}), survivors",
        values,
        "above",
        0.8,
        centre="mean",
    )


def drops_at_decay(run: str, schedule: str, *, until: float, bound: float = 0.1) -> Claim:
    """Claim that the loss falls well below the plateau once the step size decays."""

    def values(results: Results) -> list[float]:
        found = _plateaus(results[run].dataset, schedule, until)
        final = at_end(results[run].dataset.train_loss, schedule)
        return [np.nan if p is None else f / p.level for p, f in zip(found, final, strict=True)]

    return Claim(
        "The training loss drops when the step size decays.",
        f"final training loss over plateau level ({schedule})",
        values,
        "below",
        bound,
    )


def falls(
    run: str,
    quantity: Quantity,
    name: str,
    *,
    from_schedule: str,
    to_schedule: str,
    sentence: str,
    bound: float = 1.0,
) -> Claim:
    """Claim that a quantity's final value is lower under one schedule than under another."""

    def values(results: Results) -> np.ndarray:
        chosen = quantity(results[run].dataset)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: np.ndarray = at_end(chosen, to_schedule) / at_end(chosen, from_schedule)
        return ratio

    return Claim(
        sentence,
        f"final {name}, {to_schedule} over {from_schedule}, same seed",
        values,
        "below",
        bound,
    )


def falls_with_length(
    run: str, quantity: Quantity, name: str, schedules: Sequence[str], lengths: Sequence[str]
) -> list[Claim]:
    """Claim, for each pair of neighbouring lengths, that the longer phase ends lower."""
    return [
        falls(
            run,
            quantity,
            name,
            from_schedule=schedules[i],
            to_schedule=schedules[i + 1],
            sentence=(
                f"The longer the large-step phase, the lower the final {name}: "
                f"{lengths[i + 1]} against {lengths[i]}."
            ),
        )
        for i in range(len(schedules) - 1)
    ]


def reached_before_decay(
    run: str, quantity: Quantity, name: str, schedule: str, share: float
) -> Claim:
    """Claim that most of the fall of a quantity happens during the large-step phase."""

    def values(results: Results) -> np.ndarray:
        chosen = quantity(results[run].dataset)
        start = chosen.sel(schedule=schedule).isel(step=0).values
        with np.errstate(divide="ignore", invalid="ignore"):
            return (start - last_before(chosen, schedule, share)) / (
                start - at_end(chosen, schedule)
            )

    return Claim(
        f"The fall of the {name} happens during the large-step phase.",
        f"share of the fall of the {name} reached before the decay ({schedule})",
        values,
        "above",
        0.8,
    )


def kept_after_decay(run: str, quantity: Quantity, name: str, schedule: str, share: float) -> Claim:
    """Claim that a quantity does not rise by more than a fifth after the decay."""

    def values(results: Results) -> np.ndarray:
        chosen = quantity(results[run].dataset)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: np.ndarray = at_end(chosen, schedule) / last_before(chosen, schedule, share)
        return ratio

    return Claim(
        f"The {name} reached in the large-step phase is kept after the decay.",
        f"{name} at the end over {name} before the decay ({schedule})",
        values,
        "below",
        1.2,
    )


def diverges_rarely(run: str, schedule: str, *, share: float = 1.0, dynamics: str = "SGD") -> Claim:
    """Claim that a schedule can be relied on: nine in ten of its seeds are still there."""

    def values(results: Results) -> Any:
        return _survived(results[run].dataset, schedule, share).astype(float)

    when = "at the end" if share == 1.0 else f"after {share:.0%} of the steps"
    return Claim(
        f"{dynamics} at {schedule} is stable: nine runs in ten have not diverged {when}.",
        f"1 if the seed has not diverged {when}",
        values,
        "above",
        0.9,
        centre="mean",
    )


def _survived(dataset: xr.Dataset, schedule: str, share: float) -> np.ndarray:
    diverged_at = dataset.diverged_at.sel(schedule=schedule).fillna(np.inf)
    survived: np.ndarray = (diverged_at > share * float(dataset.step[-1])).values
    return survived


def _plateaus(dataset: xr.Dataset, schedule: str, until: float) -> list[metrics.Plateau | None]:
    curves = dataset.train_loss.sel(
        schedule=schedule, step=slice(None, until * float(dataset.step[-1]))
    )
    steps = curves.step.values
    return [metrics.plateau(steps, curves.sel(seed=seed).values) for seed in curves.seed]
