"""What `collapse` computes."""

from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr
from scipy.special import digamma, gammaln

from largestep._progress import track
from largestep.dynamics import LabelNoise, simulate
from largestep.experiments.andriushchenko2023.teacher_student.setting import STUDENT
from largestep.experiments.andriushchenko2023.teacher_student.setting import problem as on_a_circle
from largestep.experiments.budget import Budget
from largestep.measures import Measure, parameters
from largestep.metrics.sparsity import feature_sparsity
from largestep.networks import Gaussian, Network, ReLU, ScalarQuadratic
from largestep.problems import Problem, from_teacher
from largestep.store import Results

__all__ = ["NETWORKS", "STEP_SIZES", "STRENGTHS", "compute", "exponent"]

STEP_SIZES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
STRENGTHS = (0.25, 0.5, 0.75, 0.9, 1.1, 1.5, 2.0, 4.0)
"""ησ², of which the limit of small steps says that the origin attracts above 1."""
NETWORKS = {"two dimensions": (0.01, 0.03, 0.1), "ten dimensions": (0.01, 0.03)}
"""The step sizes of each problem."""
NOISES = (0.0, 0.3, 1.0)
_TIME, _NETWORK_TIME = 2000, 3000
_FARTHEST, _NEAREST = 1.0, 1e-3
_VANISHED, _SAME = 1e-3, 0.99


def compute(budget: Budget) -> Results:
    """Return |θ| of the scalar model, and the neurons of two problems that live and differ."""
    rows = len(STEP_SIZES) + sum(map(len, NETWORKS.values()))
    with track(budget.described("collapse, step sizes"), rows) as done:
        runs = {"scalar": _scalar(budget, done)}
        for name, step_sizes in NETWORKS.items():
            runs[name] = _neurons(name, step_sizes, budget, done)
    return Results.from_dict(runs)


def exponent(step_size: float, sigma: float) -> float:
    """Return Λ = E ln|1 + 2η(1 + σξ)|, by which ln|θ| grows in a step near 0, ξ ~ N(0, 1).

    h = θ², target 1, loss r²/2: a step multiplies θ by 1 − 2η(θ² − 1 − σξ). With μ = (1 + 2η)/(2ησ)
    it is ln(2ησ) + E ln (μ + ξ)²/2, and (μ + ξ)² is χ² of 1 + 2J degrees of freedom, J Poisson of
    mean μ²/2, of which the logarithm's mean is ψ(1/2 + J) + ln 2.
    """
    mean, spread = 1.0 + 2.0 * step_size, 2.0 * step_size * sigma
    if spread == 0.0:
        return float(np.log(mean))
    half = (mean / spread) ** 2 / 2
    reach = 12.0 * np.sqrt(half) + 40.0
    j = np.arange(max(np.floor(half - reach), 0.0), half + reach)
    weights = np.exp(j * np.log(half) - half - gammaln(j + 1.0))
    return float(np.log(spread) + weights @ (digamma(0.5 + j) + np.log(2.0)) / 2)


def _scalar(budget: Budget, done: Callable[[], None]) -> xr.Dataset:
    problem = Problem(np.ones((1, 1)), np.ones(1), description="one example, target 1")
    between = np.log([_NEAREST, _FARTHEST])
    starts = np.exp([[np.random.default_rng(s).uniform(*between)] for s in budget.seeds])
    rows = []
    for step_size in STEP_SIZES:
        steps = budget.steps(round(_TIME / step_size))
        record = np.unique(np.linspace(0, steps, 41).astype(int))
        runs = [
            simulate(
                ScalarQuadratic(),
                problem,
                LabelNoise(np.sqrt(strength / step_size)),
                step_size,
                steps=steps,
                record=record,
                seeds=budget.seeds,
                initial=starts,
                measure=[parameters()],
                threads=budget.threads,
                executor=budget.executor,
            ).isel(schedule=0, drop=True)
            for strength in STRENGTHS
        ]
        sizes = [np.abs(run.parameters.isel(parameter=0).values) for run in runs]
        rows.append((sizes, [run.diverged_at.values for run in runs]))
        done()
    return xr.Dataset(
        {
            "size": (("step_size", "strength", "seed", "moment"), [row[0] for row in rows]),
            "diverged_at": (("step_size", "strength", "seed"), [row[1] for row in rows]),
            "exponent": (
                ("step_size", "strength"),
                [[exponent(e, float(np.sqrt(k / e))) for k in STRENGTHS] for e in STEP_SIZES],
            ),
        },
        coords={
            "step_size": list(STEP_SIZES),
            "strength": list(STRENGTHS),
            "seed": budget.seeds,
            "moment": np.linspace(0, 1, sizes[0].shape[-1]),
        },
    )


def _neurons(
    name: str, step_sizes: tuple[float, ...], budget: Budget, done: Callable[[], None]
) -> xr.Dataset:
    network, problem = (STUDENT, on_a_circle()) if name == "two dimensions" else _ten_dimensions()
    rows = []
    for step_size in step_sizes:
        steps = budget.steps(round(_NETWORK_TIME / step_size))
        runs = [
            simulate(
                network,
                problem,
                LabelNoise(sigma),
                {f"{step_size:g}": step_size},
                steps=steps,
                record=np.linspace(0, steps, 11).astype(int),
                seeds=budget.seeds,
                measure=["test_loss", *(Measure(n, partial(_count, n), n) for n in _COUNTED)],
                threads=budget.threads,
                executor=budget.executor,
            ).assign_coords(step=np.linspace(0, 1, 11))
            for sigma in NOISES
        ]
        together = xr.concat(runs, xr.DataArray(list(NOISES), dims="sigma", name="sigma"))
        rows.append(together[["test_loss", *_COUNTED, "diverged_at"]])
        done()
    return xr.concat(rows, "schedule", combine_attrs="drop_conflicts").rename(step="time")


def _ten_dimensions() -> tuple[Network, Problem]:
    d, width = 10, 20
    directions = np.random.default_rng(0).standard_normal((3, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    theta = np.concatenate([directions.ravel(), [1.0, 1.0, -1.0]])
    problem = from_teacher(ReLU((d, 3), biases=False), theta, n=100, seed=0)
    start = (Gaussian(d**-0.5), Gaussian(width**-0.5))
    return ReLU((d, width), biases=False, weights_from=start), problem


_COUNTED = ("living", "distinct")


def _count(which: str, network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
    assert isinstance(network, ReLU)
    stack = network.features(thetas, problem.x_train)[0]
    counts = [neurons(network, t, f)[which] for t, f in zip(thetas, stack, strict=True)]
    return np.array(counts, dtype=np.float64)


def neurons(network: ReLU, theta: np.ndarray, features: np.ndarray) -> dict[str, int]:
    """Return how many neurons of a network of one hidden layer, without biases, live and differ."""
    d, width = network.widths
    inwards, outwards = theta[: width * d].reshape(width, d), theta[width * d :]
    sizes = np.abs(outwards) * np.linalg.norm(inwards, axis=1)
    living = (sizes > _VANISHED * sizes.max()) & (features > 0).any(axis=0)
    if not living.any():
        return {"living": 0, "distinct": 0}
    found = feature_sparsity(features[:, living], _SAME, normalize=True)
    return {"living": int(living.sum()), "distinct": len(found.kept)}
