"""What `collapse` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.chen2023.collapse.figure import draw_collapse
from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.phases import ratio, two_seeds
from largestep.store import Results

__all__ = ["CAPTIONS", "CLAIMS", "COLLAPSED", "draw"]

COLLAPSED = 1e-30
_MARGIN = 0.2
CIRCLE, TEN = "two dimensions", "ten dimensions"


CAPTIONS = {
    "figure": Caption(
        "a, the share of starts that end at the origin, by step size and noise, with the line on "
        "which the exponent is zero and that of the limit of small steps; b, |θ| of every seed on "
        "both sides of the line; c, d, neurons that differ and that live, medians and quartiles "
        "over {seeds} seeds.",
        "Above the line starts end at the origin, below it they do not. Noise leaves few distinct "
        "neurons in two dimensions, and fewer living ones in ten.",
    ),
}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw where the origin attracts, trajectories on both sides, and neurons over training."""
    return {"figure": draw_collapse(results, collapsed(results["scalar"].dataset))}


def collapsed(scalar: xr.Dataset) -> xr.DataArray:
    """Return whether each run has ended at the origin; a run that has diverged has not."""
    return (scalar["size"].isel(moment=-1) < COLLAPSED) & scalar.diverged_at.isnull()


def _sides(scalar: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return which step sizes and strengths lie where, clear of the boundary."""
    exponent = scalar.exponent / scalar.step_size
    attracts, repels = exponent < -_MARGIN, exponent > _MARGIN
    said = scalar.strength > 1
    return {
        "attracts": attracts,
        "repels": repels,
        "said to attract, repels": repels & said,
        "said to attract, attracts": attracts & said,
    }


def _share(side: str, results: Results) -> np.ndarray:
    """Return for each seed the share of its runs on that side that have collapsed."""
    scalar = results["scalar"].dataset
    chosen = collapsed(scalar).where(_sides(scalar)[side])
    values: np.ndarray = chosen.mean(("step_size", "strength")).values
    return values


def _count(
    problem: str, which: str, step_size: float, sigma: float, results: Results
) -> np.ndarray:
    found = results[problem].dataset[which].sel(schedule=f"{step_size:g}", sigma=sigma)
    values: np.ndarray = found.isel(time=-1).values
    return values


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Where the exponent is negative the origin attracts, from wherever one starts.",
        "share of the step sizes and strengths with Λ < −η/5 at which the seed's run has collapsed",
        partial(_share, "attracts"),
        "above",
        0.9,
        control=Control("Λ > η/5", partial(_share, "repels")),
    ),
    Claim(
        "Where it is positive it does not.",
        "share of the step sizes and strengths with Λ > η/5 at which the seed's run has collapsed",
        partial(_share, "repels"),
        "below",
        0.1,
        control=Control("Λ < −η/5", partial(_share, "attracts")),
    ),
    Claim(
        "At large steps the condition of the limit errs: noise that it calls enough is too much.",
        "share of collapsed runs where ησ² > 1 but Λ > η/5",
        partial(_share, "said to attract, repels"),
        "below",
        0.1,
        control=Control("ησ² > 1 and Λ < −η/5", partial(_share, "said to attract, attracts")),
        whose="our own",
    ),
    Claim(
        "Noise makes neurons coincide.",
        "distinct neurons, label noise 0.3 over none, step size 0.1, two dimensions, same seed",
        lambda r: ratio(
            _count(CIRCLE, "distinct", 0.1, 0.3, r), _count(CIRCLE, "distinct", 0.1, 0.0, r)
        ),
        "below",
        0.6,
        control=two_seeds("no noise", partial(_count, CIRCLE, "distinct", 0.1, 0.0)),
        beside={
            "noise": partial(_count, CIRCLE, "distinct", 0.1, 0.3),
            "none": partial(_count, CIRCLE, "distinct", 0.1, 0.0),
        },
    ),
    Claim(
        "The same noise does so more at a larger step, in the same time.",
        "distinct neurons, step size 0.1 over 0.01, label noise 0.3, two dimensions, same seed",
        lambda r: ratio(
            _count(CIRCLE, "distinct", 0.1, 0.3, r), _count(CIRCLE, "distinct", 0.01, 0.3, r)
        ),
        "below",
        0.7,
        control=Control(
            "without noise",
            lambda r: ratio(
                _count(CIRCLE, "distinct", 0.1, 0.0, r), _count(CIRCLE, "distinct", 0.01, 0.0, r)
            ),
        ),
    ),
    Claim(
        "In ten dimensions noise makes neurons vanish.",
        "share of the neurons that live, label noise 1, step size 0.01, ten dimensions",
        lambda r: _count(TEN, "living", 0.01, 1.0, r) / 20,
        "below",
        0.9,
        control=Control("without noise", lambda r: _count(TEN, "living", 0.01, 0.0, r) / 20),
    ),
)
