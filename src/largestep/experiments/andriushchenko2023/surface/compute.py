"""What `surface` computes."""

import numpy as np
import xarray as xr

from largestep import measures, networks, problems
from largestep.dynamics import GD, SGD, Dynamics, simulate
from largestep.experiments.budget import Budget
from largestep.schedules import Schedule, constant, decay
from largestep.store import Results

NETWORK = networks.DiagonalLinear(d=30, u0=0.1, v0=0.0)
SGD_LABEL = "0.6, /3 at 50%"
DYNAMICS: dict[str, tuple[Dynamics, dict[str, Schedule], int | None]] = {
    "gradient flow": (GD(), {"0.03": constant(0.03)}, 1),
    "GD": (GD(), {"3.0, /3 at 50%": decay(3.0, factor=3, at=0.5)}, 1),
    "SGD": (SGD(batch_size=1), {SGD_LABEL: decay(0.6, factor=3, at=0.5)}, None),
}
"""For each path its dynamics, its schedule by label and its number of seeds, None for all."""

GRID = np.linspace(-0.5, 2.3, 100)


def problem() -> problems.Problem:
    """Return sparse regression with n = 20, d = 30 and three non-zero coordinates."""
    return problems.sparse_regression(n=20, d=30, nonzeros=3, seed=0)


def compute(budget: Budget) -> Results:
    """Return the three paths, and the losses on the plane that they span."""
    steps = budget.steps(10_001)
    paths = {
        name: simulate(
            NETWORK,
            problem(),
            dynamics,
            schedules,
            steps=steps,
            seeds=budget.seeds[:seeds],
            measure=("train_loss", "test_loss", measures.parameters()),
            threads=budget.threads,
            executor=budget.executor,
            progress=budget.described(f"surface, {name}"),
        )
        for name, (dynamics, schedules, seeds) in DYNAMICS.items()
    }
    flow_end = paths["gradient flow"].parameters.isel(schedule=0, seed=0, step=-1).values
    return Results.from_dict({**paths, "plane": _losses_on_plane(plane(flow_end))})


def truth() -> np.ndarray:
    """Return w⋆ = (√θ⋆, √θ⋆), the balanced parameters of the truth."""
    theta = problem().truth
    assert theta is not None
    return np.tile(np.sqrt(theta), 2)


def plane(flow_end: np.ndarray) -> np.ndarray:
    """Return the origin and the two orthonormal directions of the plane, as rows.

    The origin is the start; the first direction leads to w⋆, the second is the part of the way to
    gradient flow's end that is orthogonal to it.
    """
    start = NETWORK.initialize(np.random.default_rng(0))
    first = truth() - start
    first /= np.linalg.norm(first)
    second = folded(flow_end) - start
    second -= (second @ first) * first
    second /= np.linalg.norm(second)
    return np.stack([start, first, second])


def folded(theta: np.ndarray) -> np.ndarray:
    """Return the parameters with |u| and |v|, where u·v ≥ 0, so that all paths share a quadrant.

    The loss depends on u ⊙ v alone, so (u, v) → (−u, −v) in any coordinate leaves it as it is.
    Coordinates with u·v < 0 keep a sign, which goes to v.
    """
    u, v = np.split(theta, 2, axis=-1)
    return np.concatenate([np.abs(u), np.abs(v) * np.where(u * v < 0, -1.0, 1.0)], axis=-1)


def projected(theta: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Return the coordinates of folded parameters on the plane: (…, p) → (…, 2)."""
    origin, *directions = axes
    return (folded(theta) - origin) @ np.stack(directions, axis=-1)


def _losses_on_plane(axes: np.ndarray) -> xr.Dataset:
    origin, first, second = axes
    x, y = np.meshgrid(GRID, GRID)
    points = origin + x[..., np.newaxis] * first + y[..., np.newaxis] * second
    data = problem()
    dims = ("y", "x")
    return xr.Dataset(
        {
            name: (dims, np.mean(data.loss.value(NETWORK.predict(points, a), b), axis=-1))
            for name, a, b in (
                ("train_loss", data.x_train, data.y_train),
                ("test_loss", data.test_inputs, data.test_targets),
            )
        }
        | {"axes": (("axis", "parameter"), axes)},
        coords={"x": GRID, "y": GRID},
    )
