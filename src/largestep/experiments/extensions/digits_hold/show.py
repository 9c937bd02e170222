"""What `digits-hold` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.deep_networks import HELD
from largestep.experiments.deep_phases import best, held_near_best, sparsity
from largestep.experiments.extensions.digits_hold.compute import NETWORKS
from largestep.experiments.phases import at_end, falls, ratio, survived
from largestep.figures.deep import draw_ends
from largestep.store import Results


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw test error against the sparsity of the last stage, a panel for each network."""
    return {"figure": draw_ends({name: node.dataset for name, node in results.items()})}


def _survives(name: str, schedule: str, results: Results) -> np.ndarray:
    return survived(results[name].dataset, schedule)


def _sparsity_over_best(name: str, schedule: str, results: Results) -> np.ndarray:
    dataset = results[name].dataset
    return ratio(at_end(sparsity(dataset), schedule), at_end(sparsity(dataset), best(dataset)))


CLAIMS: tuple[Claim, ...] = tuple(
    claim
    for name, (_, grid) in NETWORKS.items()
    for claim in (
        Claim(
            f"More than nine runs in ten of LossStabilization survive ({name}).",
            "1 if the seed has neither diverged nor collapsed",
            partial(_survives, name, HELD),
            "above",
            0.9,
            centre="mean",
            control=Control(
                f"the largest step size of the grid, {grid[-1]:g}",
                partial(_survives, name, f"{grid[-1]:g}"),
            ),
        ),
        held_near_best(
            name,
            f"{grid[0]:g}",
            f"LossStabilization ends within half a point of the grid's best test error ({name}).",
            "test error minus that of the grid's step size with the lowest median, same seed",
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
            partial(_sparsity_over_best, name, HELD),
            "below",
            1.0,
            control=Control(
                f"the step size {grid[0]:g}", partial(_sparsity_over_best, name, f"{grid[0]:g}")
            ),
        ),
    )
)
