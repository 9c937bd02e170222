"""What `compaction-glyphs` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.deep_networks import LARGE, LENGTHS, SMALL
from largestep.experiments.extensions.compaction_glyphs.compute import (
    BY_STEP_SIZE,
    COMPACT,
    PRUNED,
)
from largestep.experiments.phases import next_seed, ratio, two_seeds
from largestep.figures.compaction import draw_smallest
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw what is left of every network, and what it costs."""
    return {"figure": draw_smallest(results["glyphs"].dataset)}


def _values(name: str, schedule: str, way: str, results: Results) -> np.ndarray:
    values: np.ndarray = results["glyphs"].dataset[name].sel(schedule=schedule, way=way).values
    return values


def _smaller(sentence: str, name: str, than: str) -> Claim:
    mine, other = (partial(_values, "parameters", s, COMPACT) for s in (name, than))
    return Claim(
        sentence,
        f"parameters left by compaction, {name} over {than}, same seed",
        lambda r: ratio(mine(r), other(r)),
        "below",
        1.0,
        control=two_seeds(than, other),
        beside={name: mine, than: other},
    )


def _against_pruning(schedule: str) -> Claim:
    mine, pruned = (partial(_values, "parameters", schedule, way) for way in (COMPACT, PRUNED))
    return Claim(
        f"For a tenth of a point compaction leaves less than pruning does ({schedule}).",
        "parameters left by compaction over those left by pruning, same network",
        lambda r: ratio(mine(r), pruned(r)),
        "below",
        1.0,
        control=two_seeds("pruning", pruned),
        beside={COMPACT: mine, PRUNED: pruned},
    )


def _costs(schedule: str, way: str, results: Results) -> np.ndarray:
    costs: np.ndarray = _values("error", schedule, way, results) - _values(
        "error_before", schedule, way, results
    )
    return costs


CLAIMS: tuple[Claim, ...] = (
    *(
        _smaller(
            f"The longer the phase, the smaller the network: {LENGTHS[j]} against {LENGTHS[i]}.",
            LARGE[j],
            LARGE[i],
        )
        for i, j in ((0, 1), (1, 2), (0, 2))
    ),
    *(
        _smaller(f"The larger the steps, the smaller the network: {large}.", large, small)
        for small, large in zip((SMALL, *BY_STEP_SIZE[:-1]), BY_STEP_SIZE, strict=True)
    ),
    *(_against_pruning(schedule) for schedule in (SMALL, LARGE[0], LARGE[2])),
    Claim(
        "What costs a tenth of a point on held-out letters costs less than half a point on others.",
        f"test error after compaction minus before, unseen letters ({LARGE[2]})",
        partial(_costs, LARGE[2], COMPACT),
        "below",
        0.005,
        control=Control(
            "the error of the next seed's network, not compacted, minus this one's",
            lambda r: (
                next_seed(_values("error_before", LARGE[2], COMPACT, r))
                - _values("error_before", LARGE[2], COMPACT, r)
            ),
        ),
    ),
)
