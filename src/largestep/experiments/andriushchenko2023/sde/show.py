"""What `sde` claims, and how it is drawn."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.sde.compute import (
    FINE_RUN,
    REFERENCE,
    SDE_RUN,
    SGD_RUN,
    TABLE,
    VARYING_TABLE,
    quantities,
)
from largestep.experiments.andriushchenko2023.sde.figure import draw_agreement, draw_curves
from largestep.experiments.claims import Claim
from largestep.store import Results

ON_PLATEAU = ("30%", "49%")


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the curves of SGD and of the SDE, and the table of their agreement."""
    rows = {
        name: (results[f"{name}/{SGD_RUN}"].dataset, results[f"{name}/{SDE_RUN}"].dataset)
        for name, ways in results.items()
        if ways.children
    }
    return {
        "figure": draw_curves(rows, quantities),
        "agreement": draw_agreement(results[TABLE].dataset),
    }


def _gated(
    pick: Callable[[xr.Dataset], xr.DataArray],
    times: tuple[str, ...],
    results: Results,
    *,
    quantity: tuple[str, ...] = (),
) -> np.ndarray:
    """Return a column of the table of agreement over the problems whose loss is flat."""
    table = results[TABLE].dataset
    table = table.isel(problem=np.flatnonzero(table.flat.values)).sel(time=list(times))
    if quantity:
        table = table.sel(quantity=[q for q in quantity if q in table["quantity"].values])
    values: np.ndarray = pick(table).values.ravel()
    return values[np.isfinite(values)]


def _apart(table: xr.Dataset) -> xr.DataArray:
    return np.abs(np.log(table.ratio))


def _same_law(table: xr.Dataset) -> xr.DataArray:
    return (table.p > 0.05).where(table.p.notnull())


def _spread(table: xr.Dataset) -> xr.DataArray:
    return table.spread


def _closer_early(results: Results) -> np.ndarray:
    varying, constant = (
        _apart(results[table].dataset).sel(problem=REFERENCE, time=["3%", "10%"])
        for table in (VARYING_TABLE, TABLE)
    )
    difference: np.ndarray = (varying - constant).values.ravel()
    return difference[np.isfinite(difference)]


def _fine_plateau(results: Results) -> np.ndarray:
    steps = float(results[f"{REFERENCE}/{FINE_RUN}"].dataset.step[-1])
    fine, coarse = (
        results[f"{REFERENCE}/{way}"]
        .dataset.train_loss.sel(step=slice(0.2 * steps, 0.49 * steps))
        .mean("step")
        .values
        for way in (FINE_RUN, SDE_RUN)
    )
    ratio: np.ndarray = fine / np.median(coarse)
    return ratio


SPARSITY = ("nonzero_coordinates", "feature_sparsity", "jacobian_rank")

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "On the plateau the SDE's median losses agree with SGD's within a quarter.",
        "|log ratio of medians| at 30 % and 49 %, over problems with a flat loss",
        partial(_gated, _apart, ON_PLATEAU, quantity=("train_loss", "test_loss")),
        "below",
        float(np.log(1.25)),
    ),
    Claim(
        "On the plateau the SDE's median sparsity and rank agree with SGD's within a quarter.",
        "|log ratio of medians| at 30 % and 49 %, over problems with a flat loss",
        partial(_gated, _apart, ON_PLATEAU, quantity=SPARSITY),
        "below",
        float(np.log(1.25)),
    ),
    Claim(
        "At the end the SDE's medians agree with SGD's within a quarter.",
        "|log ratio of medians| at 100 %, every measure, over problems with a flat loss",
        partial(_gated, _apart, ("100%",)),
        "below",
        float(np.log(1.25)),
    ),
    Claim(
        "Early in training the medians agree within a quarter too.",
        "|log ratio of medians| at 3 %, every measure, over problems with a flat loss",
        partial(_gated, _apart, ("3%",)),
        "below",
        float(np.log(1.25)),
    ),
    Claim(
        "On the plateau the distributions are the same.",
        "1 if the energy test does not reject at 5 % (Holm), at 30 % and 49 %, every measure",
        partial(_gated, _same_law, ON_PLATEAU),
        "above",
        0.9,
        centre="mean",
    ),
    Claim(
        "On the plateau the SDE spreads as widely as SGD.",
        "ratio of interquartile ranges at 30 % and 49 %, every measure",
        partial(_gated, _spread, ON_PLATEAU),
        "above",
        0.8,
    ),
    Claim(
        "A measured δ(t) brings the SDE nearer to SGD early in training.",
        f"|log ratio of medians| with δ(t) minus with constant δ, at 3 % and 10 %, {REFERENCE}",
        _closer_early,
        "below",
        0.0,
    ),
    Claim(
        "Refining dt to η/4 leaves the plateau where it is, within a twentieth.",
        f"mean plateau loss at dt = η/4 over the median one at dt = η, {REFERENCE}",
        _fine_plateau,
        "above",
        0.95,
    ),
)
