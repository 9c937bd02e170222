"""What `digits-hold` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim
from largestep.experiments.deep_networks import HELD
from largestep.experiments.deep_phases import best, held_above_best, held_survives, sparsity
from largestep.experiments.phases import at_end, falls
from largestep.figures.deep import draw_ends
from largestep.store import Results

if TYPE_CHECKING:
    pass
from largestep.experiments.extensions.digits_hold.compute import NETWORKS


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw test error against the sparsity of the last stage, a panel for each network."""
    return {"figure": draw_ends({name: node.dataset for name, node in results.items()})}


def _sparsity_over_best(name: str, results: Results) -> np.ndarray:
    dataset = results[name].dataset
    ratio: np.ndarray = at_end(sparsity(dataset), HELD) / at_end(sparsity(dataset), best(dataset))
    return ratio


CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for name, (_, grid) in NETWORKS.items()
    for claim in (
        Claim(
            f"No run of LossStabilization diverges or collapses ({name}).",
            "1 if the seed has neither diverged nor collapsed",
            partial(held_survives, name),
            "above",
            0.999,
            centre="mean",
        ),
        Claim(
            f"LossStabilization ends within half a point of the grid's best test error ({name}).",
            "test error minus that of the grid's step size with the lowest median, same seed",
            partial(held_above_best, name),
            "below",
            0.005,
        ),
        falls(
            name,
            sparsity,
            "feature sparsity of the last stage",
            from_schedule=f"{grid[0]:g}",
            to_schedule=HELD,
            sentence=f"LossStabilization is less than two thirds as dense as {grid[0]:g} ({name}).",
            bound=2 / 3,
        ),
        Claim(
            f"LossStabilization is at least as sparse as the grid's best ({name}).",
            "feature sparsity over that of the grid's step size of lowest test error, same seed",
            partial(_sparsity_over_best, name),
            "below",
            1.0,
        ),
    )
)
