"""What `step-sizes` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.andriushchenko2023.step_sizes.compute import (
    HELD,
    HELD_LOW,
    LENGTHS,
    PHASES,
    SWEEP,
)
from largestep.experiments.andriushchenko2023.step_sizes.figure import draw_window
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import falls, ratio, two_seeds
from largestep.store import Results

PROBLEMS = ("diagonal", "teacher-student")
WINDOW = 1.5


def sparsity(dataset: xr.Dataset) -> xr.DataArray:
    """Return the problem's own measure of sparsity: coordinates or feature sparsity."""
    name = "nonzero_coordinates" if "nonzero_coordinates" in dataset else "feature_sparsity"
    return dataset[name]


def threshold(sweep: xr.Dataset) -> float:
    """Return the largest step size up to which the loss converges; NaN where none does."""
    late = sweep.train_loss.isel(step=slice(None, -1)).median("step").fillna(np.inf).median("seed")
    converges = (late < 1e-3 * sweep.attrs["zero_loss"]).values
    first = int(np.argmin(converges)) if not converges.all() else len(converges)
    return float(sweep.eta[first - 1]) if first else np.nan


def held_step_size(held: xr.Dataset) -> np.ndarray:
    """Return the geometric mean of HoldLoss's step size over the second half of its phase."""
    mean: np.ndarray = np.exp(np.log(held.step_size.isel(step=slice(None, -1))).mean("step")).values
    return mean


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw late loss, test loss and sparsity over the step size, with HoldLoss's own."""
    rows = {
        name: (
            results[f"{name}/{SWEEP}"].dataset,
            threshold(results[f"{name}/{SWEEP}"].dataset),
            results[f"{name}/{HELD}"].dataset,
        )
        for name in PROBLEMS
    }
    return {"figure": draw_window(rows, sparsity, held_step_size, WINDOW)}


def _end(quantity: xr.DataArray) -> np.ndarray:
    """Return the (step sizes, seeds) last values."""
    return quantity.isel(step=-1).transpose("schedule", "seed").values


def _test_loss(dataset: xr.Dataset) -> xr.DataArray:
    return dataset.test_loss


def _against_tiny(problem: str, side: str, results: Results) -> np.ndarray:
    """Return the sparsity well below or just above the threshold over that of the tiniest step."""
    sweep = results[f"{problem}/{SWEEP}"].dataset
    relative = sweep.eta.values / threshold(sweep)
    chosen = (
        np.flatnonzero(relative <= 0.8)[-1:]
        if side == "below"
        else np.flatnonzero(relative >= 1.1)[:1]
    )
    ends = _end(sparsity(sweep))
    if len(chosen) == 0:
        return np.full(ends.shape[1], np.nan)
    return ratio(ends[chosen[0]], ends[0])


def _best_in_window(problem: str, results: Results, *, shuffled: bool = False) -> np.ndarray:
    """Return 1 for every seed whose least test loss is that of a step size in the window."""
    sweep = results[f"{problem}/{SWEEP}"].dataset
    relative = sweep.eta.values / threshold(sweep)
    ends = _end(sweep.test_loss)
    if shuffled:
        ends = np.random.default_rng(0).permuted(ends, axis=0)
    usable = np.isfinite(ends).any(axis=0) & np.isfinite(relative[0])
    best = relative[np.nanargmin(np.where(usable, ends, 0.0), axis=0)]
    return np.where(usable, (best > 1.0) & (best <= WINDOW), np.nan)


def _within(problem: str, results: Results) -> np.ndarray:
    """Return for every seed the median test loss over the step sizes in the window."""
    sweep = results[f"{problem}/{SWEEP}"].dataset
    relative = sweep.eta.values / threshold(sweep)
    chosen = (relative > 1.0) & (relative <= WINDOW)
    if not chosen.any():
        return np.full(sweep.sizes["seed"], np.nan)
    middle: np.ndarray = np.median(_end(sweep.test_loss)[chosen], axis=0)
    return middle


def _at(problem: str, which: int, results: Results) -> np.ndarray:
    end: np.ndarray = _end(results[f"{problem}/{SWEEP}"].dataset.test_loss)[which]
    return end


def _lands(problem: str, way: str, results: Results) -> np.ndarray:
    held = held_step_size(results[f"{problem}/{way}"].dataset)
    return held / threshold(results[f"{problem}/{SWEEP}"].dataset)


CAPTIONS: Mapping[str, Caption] = {
    "figure": Caption(
        "Constant step sizes, followed by the same small one: training loss late in the "
        "phase, test loss and sparsity at the end, over the step size in units of the "
        "threshold up to which the loss converges. Lines are medians over {seeds}, bands "
        "reach from quartile to quartile; the shaded window ends at one and a half times "
        "the threshold; diamonds are HoldLoss, each seed.",
        "Two rows of three panels. Up to the threshold networks stay dense; beyond it "
        "sparsity sets in at once. The test loss is least just above the threshold and "
        "rises far beyond.",
    ),
}

CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for problem in PROBLEMS
    for claim in (
        Claim(
            f"Below the threshold features stay as dense as after tiny steps ({problem}).",
            "final sparsity at the largest step size up to 0.8 of the threshold over that at the "
            "smallest, same seed",
            partial(_against_tiny, problem, "below"),
            "above",
            0.8,
            control=Control(
                "the first step size from 1.1 times the threshold on",
                partial(_against_tiny, problem, "above"),
            ),
        ),
        Claim(
            f"Just above the threshold features are less than half as dense ({problem}).",
            "final sparsity at the first step size from 1.1 times the threshold on over that at "
            "the smallest, same seed",
            partial(_against_tiny, problem, "above"),
            "below",
            0.5,
            control=Control(
                "the largest step size up to 0.8 of the threshold",
                partial(_against_tiny, problem, "below"),
            ),
        ),
        Claim(
            f"The test loss is least in the window, up to 1.5 times the threshold ({problem}).",
            "1 if the step size of the seed's least test loss lies in the window",
            partial(_best_in_window, problem),
            "above",
            0.5,
            "mean",
            control=Control(
                "the step sizes' labels shuffled", partial(_best_in_window, problem, shuffled=True)
            ),
            whose="other papers",
        ),
        Claim(
            f"Far beyond the window large steps fail: ten times its test loss ({problem}).",
            "final test loss at the largest step size over the median in the window, same seed",
            lambda r, problem=problem: ratio(_at(problem, -1, r), _within(problem, r)),  # type: ignore[misc]
            "above",
            10.0,
            control=two_seeds("the window", partial(_within, problem)),
            beside={
                "largest": partial(_at, problem, -1),
                "window": partial(_within, problem),
                "smallest": partial(_at, problem, 0),
            },
            whose="other papers",
        ),
        Claim(
            f"HoldLoss lands in the window ({problem}).",
            "geometric mean of its step size late in its phase over the threshold",
            partial(_lands, problem, HELD),
            "within",
            (1.0, WINDOW),
            control=Control(HELD_LOW, partial(_lands, problem, HELD_LOW)),
            whose="our own",
        ),
        *(
            falls(
                f"{problem}/{LENGTHS}",
                quantity,
                name,
                from_schedule=shorter,
                to_schedule=longer,
                sentence=(
                    "The longer the phase alone, the lower the final "
                    f"{name}: {longer} against {shorter} ({problem})."
                ),
                remark="; the same step size follows",
            )
            for name, quantity in (("sparsity", sparsity), ("test loss", _test_loss))
            for shorter, longer in pairwise(PHASES)
        ),
    )
)
