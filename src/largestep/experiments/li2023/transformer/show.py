"""What `transformer` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.experiment import Caption
from largestep.experiments.li2023.transformer.compute import GRID, HELD, KAPPAS, STEP_SIZES
from largestep.experiments.li2023.transformer.figure import draw_shares
from largestep.experiments.phases import at_end, falls, ratio, two_seeds
from largestep.store import Results

_NAME = "share of active units"

CAPTIONS = {
    "figure": Caption(
        "a, share of active units against AdamW's step size: of a grid, and as HoldEdge found it "
        "for each κ. b, the same against validation loss. Small points are seeds, large ones "
        "medians of {seeds} seeds.",
        "Two panels. The share of active units falls with the step size, from 0.45 to 0.23 at "
        "0.003, where the loss is lowest, and is higher again at 0.01. With κ it falls throughout, "
        "to 0.26 at κ = 2, whose loss is that of the grid's best.",
    ),
}


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the share of active units against the step size, and against the loss."""
    return {"figure": draw_shares(results[GRID].dataset, results[HELD].dataset)}


def share(dataset: xr.Dataset) -> xr.DataArray:
    """Return the share of active units, averaged over the blocks."""
    return dataset.raw.mean("layer", skipna=False)


def best(results: Results) -> str:
    """Return the grid's step size of the lowest median validation loss, all seeds there."""
    losses = {s: _loss(GRID, s, results) for s in map("{:g}".format, STEP_SIZES)}
    whole = [s for s, values in losses.items() if np.isfinite(values).all()]
    return min(whole or losses, key=lambda s: float(np.nanmedian(losses[s])))


def _loss(run: str, schedule: str, results: Results) -> np.ndarray:
    return at_end(results[run].dataset.test_loss, schedule)


def _share(run: str, schedule: str, results: Results) -> np.ndarray:
    return at_end(share(results[run].dataset), schedule)


def _best_share(results: Results) -> np.ndarray:
    return _share(GRID, best(results), results)


def _loss_over_best(run: str, schedule: str, results: Results) -> np.ndarray:
    return ratio(_loss(run, schedule, results), _loss(GRID, best(results), results))


def _lazier(run: str, called: str, whose: str | None, ends: tuple[float, ...]) -> list[Claim]:
    names = [f"{end:g}" for end in ends]
    far = falls(
        run,
        share,
        _NAME,
        from_schedule=names[0],
        to_schedule=names[-1],
        sentence=f"Fewer than two thirds as many units are active at {called} {names[-1]} as at "
        f"{names[0]}.",
        bound=2 / 3,
        whose=whose,
    )
    return [far] + [
        falls(
            run,
            share,
            _NAME,
            from_schedule=smaller,
            to_schedule=larger,
            sentence=f"Fewer units are active at {called} {larger} than at {smaller}.",
            whose=whose,
        )
        for smaller, larger in pairwise(names)
    ]


_LARGEST, _SMALLEST = f"{STEP_SIZES[-1]:g}", f"{STEP_SIZES[0]:g}"

CLAIMS: tuple[Claim, ...] = (
    *_lazier(GRID, "the step size", "the paper on large steps", STEP_SIZES),
    Claim(
        "It is not that a lazy network is one that has learnt more: the largest step is lazier "
        "than the one of the lowest loss.",
        f"final {_NAME}, {_LARGEST} over the step size of the lowest median validation loss, "
        "same seed",
        lambda r: ratio(_share(GRID, _LARGEST, r), _best_share(r)),
        "below",
        1.0,
        control=two_seeds("the step size of the lowest loss", _best_share),
        beside={
            "loss, largest step": partial(_loss, GRID, _LARGEST),
            "lowest loss": lambda r: _loss(GRID, best(r), r),
        },
    ),
    *_lazier(HELD, "κ =", "our own", KAPPAS),
    *(
        Claim(
            f"HoldEdge at κ = {kappa} ends within 5 % of the grid's lowest validation loss.",
            "final validation loss over that of the grid's step size of the lowest median, same "
            "seed",
            partial(_loss_over_best, HELD, kappa),
            "below",
            1.05,
            control=Control(
                f"the step size {_SMALLEST}", partial(_loss_over_best, GRID, _SMALLEST)
            ),
            beside={
                "held": partial(_loss, HELD, kappa),
                "the grid's": lambda r: _loss(GRID, best(r), r),
            },
            whose="our own",
        )
        for kappa in ("0.5", "1")
    ),
)
