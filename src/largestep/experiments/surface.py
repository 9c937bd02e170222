"""`surface`: a slice of the loss surface, and the paths of gradient flow, GD and SGD on it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep import measures, networks, problems
from largestep.dynamics import GD, SGD, Dynamics, simulate
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.experiments.common import diverges_rarely
from largestep.figures.surface import animate_paths, draw_surface
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
            progress=f"surface, {name}" if budget.progress else None,
        )
        for name, (dynamics, schedules, seeds) in DYNAMICS.items()
    }
    flow_end = paths["gradient flow"].parameters.isel(schedule=0, seed=0, step=-1).values
    return {**paths, "plane": _losses_on_plane(plane(flow_end))}


def truth() -> np.ndarray:
    """Return w* = (√θ*, √θ*), the balanced parameters of the truth."""
    theta = problem().truth
    assert theta is not None
    return np.tile(np.sqrt(theta), 2)


def plane(flow_end: np.ndarray) -> np.ndarray:
    """Return the origin and the two orthonormal directions of the plane, as rows.

    The origin is the start; the first direction leads to w*, the second is the part of the way to
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


def _paths(results: Results) -> dict[str, np.ndarray]:
    axes = results["plane"].axes.values
    return {
        name: projected(
            results[name].parameters.isel(schedule=0, seed=0).dropna("step").values, axes
        )
        for name in DYNAMICS
    }


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw contours of the train and the test loss with the three paths."""
    goal = projected(truth(), results["plane"].axes.values)
    return {"figure": draw_surface(results["plane"], _paths(results), goal)}


def animate(results: Results, path: Path) -> None:
    """Write the three paths as a moving picture."""
    goal = projected(truth(), results["plane"].axes.values)
    animate_paths(results["plane"], _paths(results), goal, path)


def _end(results: Results, name: str, variable: str) -> np.ndarray:
    return results[name][variable].isel(schedule=0, step=-1).values


def _test_loss(results: Results) -> np.ndarray:
    ratio: np.ndarray = _end(results, "SGD", "test_loss") / _end(
        results, "gradient flow", "test_loss"
    )
    return ratio


def _distance(results: Results) -> np.ndarray:
    def away(name: str) -> np.ndarray:
        distance: np.ndarray = np.linalg.norm(
            folded(_end(results, name, "parameters")) - truth(), axis=-1
        )
        return distance

    return away("SGD") / away("gradient flow")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "SGD with large steps ends at a lower test loss than gradient flow.",
        "final test loss of SGD over gradient flow's",
        _test_loss,
        "below",
        1.0,
    ),
    Claim(
        "SGD with large steps ends nearer to the truth than gradient flow.",
        "distance of the end to w* = (√θ*, √θ*), after folding, SGD over gradient flow",
        _distance,
        "below",
        1.0,
    ),
    diverges_rarely("SGD", SGD_LABEL),
)

EXPERIMENT = Experiment(
    name="surface",
    title="The loss surface",
    shows="Gradient flow falls into the nearest valley; SGD bounces along it towards the truth.",
    setting="""
Sparse regression with n = 20, d = 30 and three non-zero coordinates; 10 001 steps. Gradient flow
(GD with η = 0.03), GD (3.0, divided by 3 at 50 %), SGD (0.6, divided by 3 at 50 %; the figure shows
the first seed, the claims use all). The plane passes through the start, its first direction leads
to w* = (√θ*, √θ*), the second is the part of the way to gradient flow's end that is orthogonal to
it, both of unit length.

The loss depends on u ⊙ v alone, so paths and ends are folded by the symmetry (u, v) → (−u, −v) of
each coordinate before they are projected. A projected path lies above or below the surface that
is drawn: the contours are the plane's, not the path's.
""",
    seconds=15,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
    animate=animate,
)
