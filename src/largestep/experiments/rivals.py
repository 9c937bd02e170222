"""`rivals`: is stochasticity necessary? Other ways to sparse features, at an equal budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep import measures
from largestep.dynamics import (
    GD,
    SAM,
    SGD,
    Dynamics,
    JacobianPenalizedGD,
    LabelNoise,
    simulate,
)
from largestep.experiments import teacher_student
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.figures.rivals import draw_rivals
from largestep.networks import DiagonalLinear, Network
from largestep.problems import Problem, sparse_regression
from largestep.schedules import Schedule, constant, decay, piecewise
from largestep.store import Results

SMALL, LARGE = "SGD, small steps", "SGD, large steps"


@dataclass(frozen=True)
class Setting:
    """One problem: its budget of per-example gradients, and every rival's grid.

    Attributes
    ----------
    grids : {rival: (dynamics, step sizes to try)}; dynamics and step sizes are combined.
    """

    network: Network
    problem: Problem
    gradients: int
    sparsity: measures.Measure
    grids: Mapping[str, tuple[Sequence[Dynamics], Sequence[float]]]


def settings() -> dict[str, Setting]:
    """Return the problems by name."""
    return {
        "diagonal": Setting(
            DiagonalLinear(d=200, u0=0.1, v0=0.0),
            sparse_regression(n=80, d=200, nonzeros=20, seed=0),
            240_000,
            measures.nonzero_coordinates(),
            _grids(
                cap=4.0,
                small=(0.1, 0.2),
                large=(0.26, 0.282, 0.3),
                full=(1.0, 2.0, 2.5, 3.0),
                noise=(0.1, 0.3, 1.0, 3.0),
                rho=(0.01, 0.03, 0.1),
                penalty=(1e-4, 1e-3, 1e-2, 1e-1),
            ),
        ),
        "teacher-student": Setting(
            teacher_student.STUDENT,
            teacher_student.problem(),
            60_000,
            measures.feature_sparsity(0.99),
            _grids(
                cap=teacher_student.CAP,
                small=(0.05, 0.13),
                large=(0.3, 0.455, 0.5),
                full=(0.3, 0.6, 1.0, 1.5),
                noise=(0.03, 0.1, 0.3, 1.0),
                rho=(0.01, 0.03, 0.1),
                penalty=(1e-3, 1e-2, 1e-1),
            ),
        ),
    }


def _grids(
    *,
    cap: float,
    small: Sequence[float],
    large: Sequence[float],
    full: Sequence[float],
    noise: Sequence[float],
    rho: Sequence[float],
    penalty: Sequence[float],
) -> dict[str, tuple[Sequence[Dynamics], Sequence[float]]]:
    def label_noise(of: SGD | GD) -> list[Dynamics]:
        return [LabelNoise(piecewise({0.0: sigma, 0.5: 0.0}), of=of) for sigma in noise]

    capped = SGD(cap=cap)
    return {
        SMALL: ([SGD()], small),
        LARGE: ([capped], large),
        "SGD with momentum 0.9": ([SGD(cap=cap, momentum=0.9)], [0.1 * eta for eta in large]),
        "label noise, SGD": (label_noise(capped), small),
        "1-SAM, SGD": ([SAM(r, of=capped) for r in rho], small),
        "GD": ([GD()], full),
        "GD with momentum 0.9": ([GD(momentum=0.9)], [0.1 * eta for eta in full]),
        "label noise, GD": (label_noise(GD()), full[:2]),
        "n-SAM, GD": ([SAM(r, of=GD(), per_example=False) for r in rho], full[:2]),
        "1-SAM, GD": ([SAM(r, of=GD()) for r in rho], full[:2]),
        "Jacobian penalty, GD": ([JacobianPenalizedGD(s) for s in penalty], full[:2]),
    }


def schedule(rival: str, step_size: float) -> Schedule:
    """Return the step size, divided by 4 after half of the steps unless it is small throughout."""
    return constant(step_size) if rival == SMALL else decay(step_size, factor=4, at=0.5)


def gradients_per_step(dynamics: Dynamics, n: int) -> int:
    """Return how many per-example gradients a step costs: SAM takes two each, the penalty three."""
    factor = {SAM: 2, JacobianPenalizedGD: 3}.get(type(dynamics), 1)
    return factor * dynamics.batch(n)


def compute(budget: Budget) -> Results:
    """Return, for each problem, how every setting of every rival ends."""
    results = {}
    for name, setting in settings().items():
        tried = []
        for rival, (ways, step_sizes) in setting.grids.items():
            for dynamics in ways:
                cost = gradients_per_step(dynamics, setting.problem.n)
                steps = budget.steps(setting.gradients) // cost
                runs = simulate(
                    setting.network,
                    setting.problem,
                    dynamics,
                    {f"{rival}: {dynamics!r}, η = {s:g}": schedule(rival, s) for s in step_sizes},
                    steps=steps,
                    seeds=budget.seeds,
                    measure=(
                        "train_loss",
                        "test_loss",
                        setting.sparsity,
                        measures.jacobian_rank(1e-4),
                    ),
                    record=[steps],
                    threads=budget.threads,
                )
                ends = runs.isel(step=0, drop=True).rename(
                    {setting.sparsity.name: "sparsity", "schedule": "setting"}
                )
                tried.append(ends.assign_coords(rival=("setting", [rival] * len(step_sizes))))
        results[name] = xr.concat(tried, "setting", combine_attrs="drop_conflicts")
    return results


def best(ends: xr.Dataset) -> xr.Dataset:
    """Return each rival's setting of lowest median test loss, of those the most seeds survive.

    Every other seed chooses, and the others are returned: what is chosen by its luck on some seeds
    must show on others.

    Returns
    -------
    Dataset with dimensions (rival, seed); the coordinate `setting` says which it is.
    """
    chosen = []
    rivals = list(dict.fromkeys(ends.rival.values))
    for rival in rivals:
        mine = ends.isel(setting=np.flatnonzero(ends.rival.values == rival))
        choosing = mine.isel(seed=slice(0, None, 2))
        survived = choosing.diverged_at.isnull().mean("seed").values
        loss = choosing.test_loss.median("seed").values
        order = np.lexsort([np.where(np.isfinite(loss), loss, np.inf), -survived])
        shown = slice(1, None, 2) if ends.sizes["seed"] > 1 else slice(None)
        chosen.append(mine.isel(setting=int(order[0]), seed=shown))
    return xr.concat(chosen, xr.DataArray(rivals, dims="rival", name="rival"), coords="all")


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw sparsity against test loss, a panel for each problem."""
    return {"figure": draw_rivals({name: best(ends) for name, ends in results.items()})}


def _ratio(name: str, quantity: str, rival: str, against: str, results: Results) -> np.ndarray:
    chosen = best(results[name])[quantity]
    ratio: np.ndarray = (chosen.sel(rival=rival) / chosen.sel(rival=against)).values
    return ratio


_RIVALS = (
    "SGD with momentum 0.9",
    "label noise, SGD",
    "1-SAM, SGD",
    "GD",
    "label noise, GD",
    "1-SAM, GD",
    "n-SAM, GD",
    "Jacobian penalty, GD",
)

CLAIMS: tuple[Claim, ...] = (
    *(
        Claim(
            f"At its best setting large-step SGD is sparser than small-step SGD ({name}).",
            "final sparsity, large over small, same seed",
            partial(_ratio, name, "sparsity", LARGE, SMALL),
            "below",
            0.7,
        )
        for name in ("diagonal", "teacher-student")
    ),
    *(
        Claim(
            f"{rival} is sparser than small-step SGD ({name}).",
            f"final sparsity, {rival} over small-step SGD, same seed",
            partial(_ratio, name, "sparsity", rival, SMALL),
            "below",
            0.7,
        )
        for name in ("diagonal", "teacher-student")
        for rival in _RIVALS
    ),
    *(
        Claim(
            f"{rival} reaches a test loss within twice large-step SGD's ({name}).",
            f"final test loss, {rival} over large-step SGD, same seed",
            partial(_ratio, name, "test_loss", rival, LARGE),
            "below",
            2.0,
        )
        for name in ("diagonal", "teacher-student")
        for rival in _RIVALS
    ),
)

EXPERIMENT = Experiment(
    name="rivals",
    title="Rivals",
    shows="Label noise on SGD gets nearly as sparse as large steps; full-batch rivals do less.",
    setting="""
Every rival has the same budget of per-example gradients (240 000 on diagonal, 60 000 on
teacher-student): a step of GD costs n, of SAM twice and of the Jacobian penalty three times its
batch. Each is shown at its best setting on a grid, the one of lowest median test loss among those
that the most seeds survive: even seeds choose, odd ones are shown. On diagonal, GD without label
noise is deterministic from the paper's start: its seeds are one trajectory.

Grids, diagonal: step sizes 0.1, 0.2 (small), 0.26, 0.282, 0.3 (large), 1, 2, 2.5, 3 (full batch);
label noise σ 0.1, 0.3, 1, 3; SAM's ρ 0.01, 0.03, 0.1; penalty 1e-4, 1e-3, 1e-2, 1e-1.
Teacher-student: 0.05, 0.13; 0.3, 0.455, 0.5; 0.3, 0.6, 1, 1.5; σ 0.03, 0.1, 0.3, 1; ρ as before;
penalty 1e-3, 1e-2, 1e-1. Momentum 0.9 takes a tenth of the step sizes; label noise, SAM and the
penalty take the small ones, or the two smallest of the full batch. All but small-step SGD divide
the step size by 4, and switch label noise off, after half of the steps. SGD with large steps,
momentum, label noise or SAM is capped (4; 3 for the ReLU network).
""",
    seconds=60,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
