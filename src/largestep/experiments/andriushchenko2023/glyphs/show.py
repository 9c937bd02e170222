"""What `glyphs` claims, and how it is drawn."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import xarray as xr

from largestep.experiments.andriushchenko2023.glyphs.compute import NETWORKS
from largestep.experiments.claims import Claim
from largestep.experiments.deep_networks import HELD, LARGE, LATE, LENGTHS, SMALL
from largestep.experiments.deep_phases import draw, error, held_near_best, sparsity
from largestep.experiments.phases import (
    drops_at_decay,
    fallen_and_stays,
    falls,
    falls_with_length,
    stabilises_until_decay,
)

__all__ = ["CLAIMS", "claims_on", "draw"]

SPARSITY, ERROR = "feature sparsity of the last stage", "test error"


def claims_on(run: str, lengths: Sequence[int] = (0, 1, 2)) -> list[Claim]:
    """Return the talk's claims on the networks of one node of the results.

    Parameters
    ----------
    run : the node's path.
    lengths : which of the phases' lengths were run, of `LENGTHS`.
    """
    longest = LARGE[2]
    pairs = [*pairwise(lengths)]
    if len(lengths) > 2:
        pairs.append((lengths[0], lengths[-1]))
    named = [([LARGE[i], LARGE[j]], [LENGTHS[i], LENGTHS[j]]) for i, j in pairs]
    same = "; with the same late step sizes"
    return [
        stabilises_until_decay(run, longest, SMALL, until=0.5, bound=0.2),
        drops_at_decay(run, longest, SMALL, until=0.5, bound=0.5),
        falls(
            run,
            sparsity,
            SPARSITY,
            from_schedule=SMALL,
            to_schedule=longest,
            sentence=f"Large steps end at less than two thirds of small steps' {SPARSITY}.",
            bound=2 / 3,
        ),
        *(
            claim
            for schedules, names in named
            for claim in falls_with_length(run, sparsity, SPARSITY, schedules, names, remark=same)
        ),
        *falls_with_length(
            run,
            _stage_before_last,
            "feature sparsity of the last stage but one",
            named[-1][0],
            named[-1][1],
            remark=same,
        ),
        fallen_and_stays(
            run, sparsity, SPARSITY, large=longest, small=SMALL, until=0.5, bound=2 / 3
        ),
        falls(
            run,
            sparsity,
            SPARSITY,
            from_schedule=LATE,
            to_schedule=longest,
            sentence="It is not the late step size alone that makes features sparse.",
            bound=2 / 3,
            remark=same,
        ),
        falls(
            run,
            error,
            ERROR,
            from_schedule=SMALL,
            to_schedule=longest,
            sentence=f"Large steps end at a lower {ERROR} than small ones.",
        ),
        *(
            claim
            for schedules, names in named
            for claim in falls_with_length(run, error, ERROR, schedules, names, remark=same)
        ),
        falls(
            run,
            error,
            ERROR,
            from_schedule=LATE,
            to_schedule=longest,
            sentence=f"It is not the late step size alone that lowers the {ERROR}.",
            remark=same,
        ),
    ]


def _held(run: str) -> list[Claim]:
    return [
        falls(
            run,
            sparsity,
            SPARSITY,
            from_schedule=SMALL,
            to_schedule=HELD,
            sentence=f"LossStabilization ends at less than two thirds of small steps' {SPARSITY}.",
            bound=2 / 3,
            whose="our own",
        ),
        held_near_best(
            run,
            SMALL,
            f"LossStabilization ends within half a point of the best schedule's {ERROR}.",
            "test error minus that of the schedule with the lowest median, same seed",
        ),
    ]


def _stage_before_last(dataset: xr.Dataset) -> xr.DataArray:
    return dataset.distinct.isel(layer=-2)


CLAIMS = tuple(
    replace(claim, sentence=f"{name}, {setting}: {claim.sentence}")
    for name, networks in NETWORKS.items()
    for setting in networks.settings
    for claim in (*claims_on(f"{name}/{setting}"), *_held(f"{name}/{setting}"))
)
