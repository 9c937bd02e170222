"""What `transformer` computes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from largestep.experiments.budget import Budget
from largestep.experiments.trainings import run_all, survived
from largestep.schedules import linear, piecewise
from largestep.store import Results

if TYPE_CHECKING:
    from largestep.deep.training import Training

STEP_SIZES = (3e-4, 1e-3, 3e-3, 1e-2)
KAPPAS = (0.25, 0.5, 1.0, 2.0)
GRID, HELD = "step sizes", "kappa"
TEXT = "text:characters=102401,test_characters=8193,context=32"


def schedules() -> "dict[str, dict[str, Training]]":
    """Return what is trained: by step size, and by the κ that is held."""
    from largestep.deep.training.presets import Edge, training

    changes = {"epochs": 2, "averaging": 0.98, "evaluations": 2, "examples": 256}
    base = training("transformer", "edge", **changes)

    def train(step_size: Any) -> "Training":
        return replace(base, step_size=step_size)

    return {
        GRID: {f"{s:g}": train(piecewise({0.0: s, 0.5: linear(2 * s, 0.0)})) for s in STEP_SIZES},
        HELD: {f"{kappa:g}": train(Edge(kappa)) for kappa in KAPPAS},
    }


def compute(budget: Budget) -> Results:
    """Return the training runs of the grid, and of the κ that were held."""
    from largestep.deep import data

    text = data.load(TEXT)
    return Results.from_dict(
        {
            name: run_all(f"transformer, {name}", budget, trained, text, survived)
            for name, trained in schedules().items()
        }
    )
