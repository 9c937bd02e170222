"""What `subspace` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.gurari2018.subspace.figure import draw_subspace
from largestep.store import Results

__all__ = ["CAPTIONS", "CLAIMS", "draw"]

LARGE, SMALL, SMALL_AS_LONG, FULL = "SGD, 0.5", "SGD, 0.05", "SGD, 0.05, as long", "GD, 0.5"
THREE, THREE_SMALL = "SGD, 0.5, three classes", "SGD, 0.05, three classes"
_SETTLED = 0.25
"""The fraction of training from which on the gradient's share counts."""


CAPTIONS = {
    "figure": Caption(
        "Medians over {seeds} seeds and quartiles: a, how much of the full gradient lies in the "
        "nine directions of largest curvature; b, the training loss when from step 100 on a part "
        "of every gradient is taken away; c, how much of a space is kept from half of training to "
        "its end, every seed a point; d, the largest curvature of a batch over that of all images.",
        "Under large steps of SGD the share rises to 0.95, under small ones and GD it stays low. "
        "Without the dominant part the loss falls as with it; in the dominant part alone it stays.",
    ),
}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the gradient's share, learning without a part of it, overlaps, and batches' spectra."""
    return {"figure": draw_subspace(results)}


def share(run: str, results: Results) -> np.ndarray:
    """Return each seed's median share of the gradient, once it has settled."""
    found = results["confinement"].dataset.share.sel(run=run)
    medians: np.ndarray = found.sel(time=slice(_SETTLED, None)).median("time", skipna=False).values
    return medians


def _overlap(directions: str, run: str, results: Results) -> np.ndarray:
    found = results["confinement"].dataset.overlap
    values: np.ndarray = found.sel(run=run, directions=directions).values
    return values


def _loss(way: str, results: Results) -> np.ndarray:
    losses = results["learning"].dataset.loss.sel(way=way)
    ratio: np.ndarray = (losses.isel(step=-1) / losses.isel(step=0)).values
    return ratio


def _floor(way: str, results: Results) -> np.ndarray:
    floors = results["learning"].dataset.floor.sel(way=way)
    ratio: np.ndarray = (floors.sel(end="after") / floors.sel(end="before")).values
    return ratio


def _removed(way: str, results: Results) -> np.ndarray:
    values: np.ndarray = results["learning"].dataset.removed.sel(way=way).values
    return values


def _ratio(batch: int, results: Results) -> np.ndarray:
    values: np.ndarray = results["batches"].dataset.ratio.sel(batch=batch).values
    return values


_SHARE = "median share of the gradient in the top C − 1 directions, from a quarter of training on"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "At a large step SGD's gradient lives in nine of 2410 directions.",
        f"{_SHARE}; {LARGE}",
        partial(share, LARGE),
        "above",
        0.8,
        control=Control(f"{SMALL}, as many steps", partial(share, SMALL)),
    ),
    Claim(
        "At a small step it does not, even after as long a time.",
        f"{_SHARE}; 2000 steps of 0.05",
        partial(share, SMALL_AS_LONG),
        "below",
        0.8,
        control=Control(f"{LARGE}", partial(share, LARGE)),
    ),
    Claim(
        "It is the noise that puts it there: the gradient of GD lies elsewhere.",
        f"{_SHARE}; {FULL}",
        partial(share, FULL),
        "below",
        0.2,
        control=Control(f"{LARGE}", partial(share, LARGE)),
    ),
    Claim(
        "With three classes too, it lives in two directions.",
        f"{_SHARE}; {THREE}",
        partial(share, THREE),
        "above",
        0.8,
        control=Control(THREE_SMALL, partial(share, THREE_SMALL)),
    ),
    Claim(
        "The subspace stays: it is nearly the same after a hundred steps.",
        f"overlap of the span of the top nine with that of a hundred steps later; {LARGE}",
        partial(_overlap, "dominant", LARGE),
        "above",
        0.8,
        control=Control("the next nine directions", partial(_overlap, "next", LARGE)),
        beside={SMALL: partial(_overlap, "dominant", SMALL)},
    ),
    Claim(
        "Without the dominant directions it learns all the same.",
        "training loss after a hundred steps in the bulk alone, over that before",
        partial(_loss, "bulk"),
        "below",
        0.7,
        control=Control("in the dominant directions alone", partial(_loss, "dominant")),
        beside={"plain": partial(_loss, "plain"), "share removed": partial(_removed, "bulk")},
    ),
    Claim(
        "In the dominant directions alone it does not learn.",
        "training loss after a hundred steps in them alone, over that before",
        partial(_loss, "dominant"),
        "above",
        0.9,
        control=Control("in the bulk alone", partial(_loss, "bulk")),
        beside={"share removed": partial(_removed, "dominant")},
    ),
    Claim(
        "What falls there is the swing across the valley: its floor stays where it is.",
        "loss on the valley's floor after a hundred steps in the dominant directions alone, over "
        "that before",
        partial(_floor, "dominant"),
        "above",
        0.9,
        control=Control("in the bulk alone", partial(_floor, "bulk")),
        beside={"plain": partial(_floor, "plain")},
        whose="our own",
    ),
    Claim(
        "Batches have larger outliers than the whole: twice as large at two images.",
        "largest eigenvalue of the Hessian of a batch of 2 over that of all",
        partial(_ratio, 2),
        "above",
        2.0,
        control=Control("batches of 128", partial(_ratio, 128)),
    ),
    Claim(
        "And still by a quarter at the batch that SGD sees.",
        "largest eigenvalue of the Hessian of a batch of 32 over that of all",
        partial(_ratio, 32),
        "above",
        1.25,
        control=Control("batches of 128", partial(_ratio, 128)),
    ),
)
