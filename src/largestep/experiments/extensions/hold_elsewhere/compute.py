"""What `hold-elsewhere` computes: final test losses on problems of other sizes and data."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from largestep.dynamics import SGD, HoldLoss, simulate
from largestep.experiments.budget import Budget
from largestep.networks import DiagonalLinear
from largestep.problems import Problem, sparse_regression
from largestep.schedules import decay
from largestep.store import Results

HELD, BY_NOISE = "HoldLoss", "HoldLoss, target by the noise"
GRID = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
DATA_SEEDS = (31, 32, 33)
CLEAN, NOISY = "clean", "noisy"


@dataclass(frozen=True)
class Case:
    """One problem: its size, the noise on its targets, the seed of its data."""

    n: int
    d: int
    nonzeros: int
    noise: float
    seed: int

    @property
    def name(self) -> str:
        """What the figure calls it."""
        noise = f", σ = {self.noise:g}" if self.noise else ""
        return f"n = {self.n}, d = {self.d}{noise}, data {self.seed}"

    @property
    def problem(self) -> Problem:
        """Its data."""
        return sparse_regression(self.n, self.d, self.nonzeros, self.seed, noise=self.noise)


SIZES = ((50, 120, 5), (90, 300, 12), (120, 250, 15))
CASES = {
    CLEAN: [Case(*size, 0.0, seed) for size in SIZES for seed in DATA_SEEDS],
    NOISY: [
        Case(*size, noise, seed)
        for size in SIZES[:2]
        for noise in (0.05, 0.2)
        for seed in DATA_SEEDS
    ],
}


def compute(budget: Budget) -> Results:
    """Return how every way ends on every problem, those with noise apart."""
    return Results.from_dict(
        {
            kind: xr.concat(
                [_ends(case, budget) for case in cases],
                xr.DataArray([case.name for case in cases], dims="problem", name="problem"),
                combine_attrs="drop",
            )
            for kind, cases in CASES.items()
        }
    )


def noise_target(noise: float, zero_loss: float) -> float:
    """Return √(σ²/2 over the zero predictor's loss), but no less than HoldLoss's default."""
    return max(HoldLoss().target, float(np.sqrt(0.5 * noise**2 / zero_loss)))


def _ends(case: Case, budget: Budget) -> xr.Dataset:
    problem = case.problem
    steps = budget.steps(50_001)
    found = []
    held = {HELD: HoldLoss()}
    if case.noise:
        held[BY_NOISE] = HoldLoss(target=noise_target(case.noise, problem.zero_loss))
    grid = {f"{eta:g}": decay(eta, factor=2, at=0.5) for eta in GRID}
    for way, dynamics, schedules in (
        ("grid", SGD(cap=HoldLoss().cap), grid),
        *((way, dynamics, None) for way, dynamics in held.items()),
    ):
        runs = simulate(
            DiagonalLinear(problem.d),
            problem,
            dynamics,
            schedules,
            steps=steps,
            seeds=budget.seeds,
            measure=("test_loss", "nonzero_coordinates"),
            record=[steps],
            threads=budget.threads,
            executor=budget.executor,
            progress=budget.described(f"hold-elsewhere, {case.name}, {way}"),
        )
        ends = runs.isel(step=0, drop=True).rename(schedule="way")
        found.append(ends if way == "grid" else ends.assign_coords(way=[way]))
    return xr.concat(found, "way", combine_attrs="drop_conflicts")
