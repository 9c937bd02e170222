"""What `bouncing` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.bouncing.compute import NOISY, PATHS
from largestep.experiments.andriushchenko2023.bouncing.figure import draw_bouncing
from largestep.experiments.andriushchenko2023.diagonal.setting import LARGE, SMALL
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import ratio
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw a path along a slow and a fast direction, the cosines, and noise against loss."""
    return {"figure": draw_bouncing(results[PATHS].dataset, results[NOISY].dataset, LARGE[2])}


def _cosine(speed: str, results: Results) -> np.ndarray:
    return results[PATHS].dataset.cosine.sel(schedule=LARGE[2], speed=speed).values


def _falls(name: str, results: Results) -> np.ndarray:
    """Return how often a quantity is lower than at the record before, on the plateau."""
    curve = results[PATHS].dataset[name].sel(schedule=LARGE[2])
    phase = curve.sel(step=slice(None, 0.5 * float(curve.step[-1]))).transpose("seed", "step")
    moves = np.diff(phase.values, axis=1)
    return np.where(np.isfinite(moves).all(axis=1), (moves < 0).mean(axis=1), np.nan)


def _left(schedule: str, results: Results) -> np.ndarray:
    """Return the share of the imbalance that is left after a tenth of training."""
    curve = results[PATHS].dataset.imbalance.sel(schedule=schedule)
    there = curve.sel(step=slice(None, 0.1 * float(curve.step[-1]))).isel(step=-1)
    return ratio(there.values, curve.isel(step=0).values)


def _slope(dataset: xr.Dataset, schedule: str) -> np.ndarray:
    """Return for every seed the slope of log noise on log loss, above a loss of 1e-10."""
    slopes = []
    for seed in dataset.seed.values:
        run = dataset.sel(schedule=schedule, seed=seed)
        loss, noise = run.train_loss.values, run.noise.values
        usable = (loss > 1e-10) & (noise > 0)
        spread = usable.sum() > 2 and np.ptp(np.log(loss[usable])) > 0
        slopes.append(
            np.polyfit(np.log(loss[usable]), np.log(noise[usable]), 1)[0] if spread else np.nan
        )
    return np.array(slopes)


def _change(schedule: str, results: Results) -> np.ndarray:
    """Return the mean noise from 37.5 % to 50 % of training over that from 25 % to 37.5 %."""
    noise = results[PATHS].dataset.noise.sel(schedule=schedule)
    steps = float(noise.step[-1])
    early, late = (
        noise.sel(step=slice(a * steps, (a + 0.125) * steps)).mean("step", skipna=False).values
        for a in (0.25, 0.375)
    )
    return ratio(late, early)


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "a, one run's position along the direction of largest curvature, under large steps; "
        "b, the imbalance Σ|u² − v²|, which gradient flow conserves, for {seeds} each; c, "
        "the cosine between successive stretches of the way, along slow and fast "
        "directions; d, noise against loss, every run and record.",
        "Four panels. The position jumps between two sides; the imbalance falls by tens of "
        "decades under large steps and hardly under small ones; fast directions turn back, "
        "slow ones do not on the whole; noise is proportional to loss over nine decades.",
    ),
}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "While it bounces SGD drifts one way: what gradient flow conserves falls all the time.",
        "share of successive records on the plateau, 250 steps apart, at which the imbalance "
        f"Σ|u² − v²| falls ({LARGE[2]})",
        partial(_falls, "imbalance"),
        "above",
        0.9,
        control=Control("the training loss in its place", partial(_falls, "train_loss")),
    ),
    Claim(
        "The drift is that of large steps: they leave less than a tenth of the imbalance.",
        f"imbalance after a tenth of training over that at the start ({LARGE[2]})",
        partial(_left, LARGE[2]),
        "below",
        0.1,
        control=Control(SMALL, partial(_left, SMALL)),
    ),
    Claim(
        "The drift is straight: it keeps its direction where the loss is flat.",
        "cosine of the way from 1 % to 2 % of the steps with that from 2 % to 3 %, orthogonal to "
        f"the training gradients ({LARGE[2]})",
        partial(_cosine, "slow"),
        "above",
        0.2,
        control=Control("in the span of the training gradients", partial(_cosine, "fast")),
    ),
    Claim(
        "The noise of SGD is proportional to the loss.",
        f"slope of log noise on log loss over the whole training ({LARGE[2]})",
        lambda r: _slope(r[PATHS].dataset, LARGE[2]),
        "within",
        (0.9, 1.1),
        control=Control(
            "SGD with label noise of 0.1, at the small step",
            lambda r: _slope(r[NOISY].dataset, SMALL),
        ),
    ),
    Claim(
        "On the plateau the noise stays constant.",
        "mean noise from 37.5 % to 50 % of training over that from 25 % to 37.5 %",
        partial(_change, LARGE[2]),
        "within",
        (1 / 1.5, 1.5),
        control=Control(SMALL, partial(_change, SMALL)),
    ),
)
