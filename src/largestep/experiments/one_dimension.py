"""`one-dimension`: converge, stabilise or diverge, on one parameter, against the theory."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep import networks
from largestep.dynamics import SGD, simulate
from largestep.experiments.base import Budget, Experiment
from largestep.experiments.claims import Claim
from largestep.figures.one_dimension import draw_map
from largestep.problems import Problem
from largestep.store import Results

CONSTANT = "x constant"
LAWS = {CONSTANT: (1.0, 1.0), "x² ∝ 0.2 or 1.9": (0.2, 1.9), "x² ∝ 0.6 or 2": (0.6, 2.0)}
"""For each law of x the two equally likely values of x², up to scale; θ* = 1."""

SHARPNESS = np.round(np.arange(0.05, 2.51, 0.05), 10)
"""The map's axis: a_max = 2η·max(x²)·θ*²."""

STARTS_PER_SEED = 2
CONVERGED = 1e-6


def compute(budget: Budget) -> Results:
    """Return, for every law, trajectories over the axis, each from a random start."""
    steps = budget.steps(20_000)
    last = np.linspace(0.9 * steps, steps, 50).round().astype(int)
    runs = {}
    for number, (law, squares) in enumerate(LAWS.items()):
        # Starts are seeds here; the laws share none.
        seeds = [
            STARTS_PER_SEED * seed + start
            for seed in budget.seeds
            for start in range(STARTS_PER_SEED)
        ]
        x = np.sqrt(np.array(squares) / max(squares))[:, np.newaxis]
        starts = np.array(
            [np.random.default_rng([number, seed]).uniform(0.05, 1.4) for seed in seeds]
        )
        runs[law] = simulate(
            networks.ScalarQuadratic(),
            Problem(x, x[:, 0], truth=np.ones(1), description=f"y = x, {law}"),
            SGD(batch_size=1),
            {f"{a:g}": a / 2 for a in SHARPNESS},
            steps=steps,
            seeds=seeds,
            initial=starts[:, np.newaxis],
            record=np.unique(np.r_[0, last]),
            measure=("parameters",),
            threads=budget.threads,
            progress=f"one-dimension, {law}" if budget.progress else None,
        ).assign_coords(a=("schedule", SHARPNESS))
    return runs


def fates(dataset: xr.Dataset) -> xr.Dataset:
    """Return for each value of the axis the shares of starts that converge, stabilise, diverge."""
    w = dataset.parameters.isel(parameter=0).sel(step=slice(1, None)) ** 2
    diverged = dataset.diverged_at.notnull()
    converged = (abs(w - 1) < CONVERGED).all("step") & ~diverged
    return xr.Dataset(
        {
            "converges": converged.mean("seed"),
            "stabilises": (~converged & ~diverged).mean("seed"),
            "diverges": diverged.mean("seed"),
            "mean_w": w.where(~diverged).mean(("seed", "step")),
            "largest": np.sqrt(w.where(~diverged).max(("seed", "step"))),
        }
    )


def lyapunov(law: str, sharpness: np.ndarray) -> np.ndarray:
    """Return E log|1 − 2a|: the rate at which w − 1 grows at the minimum, negative if it shrinks.

    An SGD step on the network xθ² maps w = θ²/θ*² to w(1 − a(w − 1))², a = 2ηx²θ*², which is
    linearised to the factor 1 − 2a at w = 1.
    """
    squares = np.array(LAWS[law]) / max(LAWS[law])
    with np.errstate(divide="ignore"):
        rate: np.ndarray = np.log(np.abs(1 - 2 * np.outer(sharpness, squares))).mean(axis=1)
    return rate


def predicted(law: str, sharpness: np.ndarray) -> np.ndarray:
    """Return the theory's word for each value of the axis; beyond a = 2 it promises nothing good.

    [0, 1 + 2/a] is invariant exactly when a ≤ 2; there, SGD converges almost surely when
    E log|1 − 2a| < 0 and stabilises when it is positive. For constant x, a > 2 diverges.
    """
    words = np.where(lyapunov(law, sharpness) < 0, "converges", "stabilises")
    beyond = "diverges" if law == CONSTANT else "undetermined"
    return np.where(sharpness > 2, beyond, words)


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw the map: shares of the three fates over the step size, above the theory's."""
    rows = {law: (fates(dataset), predicted(law, SHARPNESS)) for law, dataset in results.items()}
    return {"figure": draw_map(SHARPNESS, rows)}


def _agreement(law: str) -> Claim:
    def values(results: Results) -> np.ndarray:
        words = predicted(law, SHARPNESS)
        # Near a boundary convergence takes longer than any run.
        clear = (words != "undetermined") & (np.abs(lyapunov(law, SHARPNESS)) > 0.05)
        found = fates(results[law])
        return np.array([float(found[words[i]][i]) for i in np.flatnonzero(clear)])

    return Claim(
        f"Converge, stabilise, diverge: where theory says, for {law}.",
        "share of starts with the predicted fate, at each step size with |E log|1 − 2a|| > 0.05",
        values,
        "above",
        0.95,
        centre="mean",
    )


def _bounded(results: Results) -> np.ndarray:
    inside = SHARPNESS <= 2
    bound = np.sqrt(1 + 2 / SHARPNESS[inside])
    return np.concatenate(
        [fates(dataset).largest.values[inside] <= bound for dataset in results.values()]
    ).astype(float)


def _shrinkage(results: Results) -> np.ndarray:
    law = CONSTANT
    stabilised = (lyapunov(law, SHARPNESS) > 0.05) & (1.5 * np.sqrt(3) - 1 >= SHARPNESS)
    return fates(results[law]).mean_w.values[stabilised]


CLAIMS: tuple[Claim, ...] = (
    *(_agreement(law) for law in LAWS),
    Claim(
        "For a ≤ 2 no start leaves the interval: |θ| ≤ θ*·√(1 + 2/a).",
        "1 if no start is beyond the bound over the last tenth, at each step size",
        _bounded,
        "above",
        0.999,
        centre="mean",
    ),
    Claim(
        "Where the loss stabilises θ shrinks: the mean of θ² lies below θ*².",
        "mean of θ²/θ*² over starts and the last tenth of the steps, at each a in (1, 1.6)",
        _shrinkage,
        "below",
        1.0,
    ),
)

EXPERIMENT = Experiment(
    name="one-dimension",
    title="One dimension",
    shows="On one parameter the step sizes that converge, stabilise and diverge are known exactly.",
    setting="""
The network h(x) = xθ² with y = xθ*², θ* = 1. With w = θ²/θ*² and a = 2ηx²θ*² an SGD step is
w ← w(1 − a(w − 1))². The axis is a for the larger x². For each law of x and each of 50 step sizes
there are two starts for each seed, uniform on (0.05, 1.4); 20 000 steps. A start has converged
when |w − 1| < 1e-6 over the last tenth of the steps, diverged when a residual exceeded 1e6, and
stabilised otherwise. The strip below each panel is the theory's word: for a ≤ 2 all is bounded, and
E log|1 − 2a| decides between convergence and stabilisation.

Each claim's values are step sizes instead of seeds.
""",
    seconds=10,
    compute=compute,
    claims=CLAIMS,
    draw=draw,
)
