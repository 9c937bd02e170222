"""What `sde` computes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from largestep import statistics
from largestep.dynamics import SGD, ConstantNoiseSDE, LossNoiseSDE, plateau_noise, simulate
from largestep.experiments.andriushchenko2023.diagonal.setting import setting as diagonal
from largestep.experiments.andriushchenko2023.regression_1d.setting import setting as regression_1d
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    setting as teacher_student,
)
from largestep.experiments.budget import Budget
from largestep.experiments.setting import Setting
from largestep.measures import Measure, jacobian_rank
from largestep.schedules import Schedule, piecewise
from largestep.store import Results

SGD_RUN, SDE_RUN, VARYING_RUN, FINE_RUN = "SGD", "SDE", "SDE, measured δ(t)", "SDE, quarter steps"
EXAMPLE_RUN, LOSS_RUN = "SDE, noise per example", "SDE, noise by the loss"
TEXTBOOK = {EXAMPLE_RUN: LossNoiseSDE("example"), LOSS_RUN: LossNoiseSDE("loss")}
TIMES = {"3%": 0.03, "10%": 0.1, "30%": 0.3, "49%": 0.49, "100%": 1.0}
TABLE, VARYING_TABLE = "agreement", "agreement with measured δ(t)"
REFERENCE = "diagonal, data 0"
TEXTBOOK_PROBLEMS = (REFERENCE, "diagonal, data 1")
DATA_SEEDS = (0, 1, 5, 7)


def settings() -> dict[str, tuple[Setting, tuple[str | Measure, ...]]]:
    """Return the problems by name, and what is compared on each."""
    losses = ("train_loss", "test_loss")
    coarse = jacobian_rank(1e-4, every=2)
    points, students = regression_1d(), teacher_student()
    return {
        **{
            f"diagonal, data {seed}": (
                replace(chosen := diagonal(seed), steps=30_001),
                (*losses, chosen.sparsity, jacobian_rank(1e-8, every=2)),
            )
            for seed in DATA_SEEDS
        },
        "teacher-student": (students, (*losses, students.sparsity, coarse)),
        "regression-1d": (points, ("train_loss", points.sparsity, coarse)),
    }


def compute(budget: Budget) -> Results:
    """Return SGD's and the SDE's trajectories on every problem, and how they agree."""
    results: dict[str, xr.Dataset] = {}
    losses = ("train_loss", "test_loss")
    for name, (setting, measure) in settings().items():
        steps = budget.steps(setting.steps)
        grid = np.r_[0, np.geomspace(0.003, 0.03, 8), np.linspace(0.04, 1.0, 49)]
        record = np.unique(np.r_[grid, list(TIMES.values())] * steps // 1).astype(int)
        run = partial(
            simulate,
            setting.network,
            setting.problem,
            schedules=setting.schedule,
            steps=steps,
            seeds=budget.seeds,
            measure=measure,
            record=record,
            threads=budget.threads,
            executor=budget.executor,
        )

        def progress(way: str, name: str = name) -> str | None:
            return budget.described(f"sde, {name}, {way}")

        sgd = run(dynamics=SGD(cap=setting.cap), progress=progress(SGD_RUN))
        sgd = sgd.isel(schedule=0, drop=True)
        delta = plateau_noise(_plateau_loss(sgd), setting.problem)
        ways = {SDE_RUN: ConstantNoiseSDE(delta)}
        if name == REFERENCE:
            ways[VARYING_RUN] = ConstantNoiseSDE(_measured_noise(sgd, setting))
            ways[FINE_RUN] = ConstantNoiseSDE(delta, substeps=4)
        results[f"{name}/{SGD_RUN}"] = sgd
        for way, dynamics in ways.items():
            results[f"{name}/{way}"] = (
                run(dynamics=dynamics, progress=progress(way))
                .isel(schedule=0, drop=True)
                .assign_attrs(delta=delta)
            )
        if name in TEXTBOOK_PROBLEMS:
            phase = steps // 2
            for way, textbook in TEXTBOOK.items():
                results[f"{name}/{way}"] = simulate(
                    setting.network,
                    setting.problem,
                    textbook,
                    float(setting.schedule(0.0)[0]),
                    steps=phase,
                    seeds=budget.seeds,
                    measure=(*losses, setting.sparsity),
                    record=record[record <= phase],
                    threads=budget.threads,
                    progress=progress(way),
                ).isel(schedule=0, drop=True)
    results[TABLE] = agreement(results)
    results[VARYING_TABLE] = agreement(results, VARYING_RUN)
    return Results.from_dict(results)


def _plateau_loss(sgd: xr.Dataset) -> float:
    """Return SGD's mean training loss from 20 % to 49 % of the steps."""
    steps = float(sgd.step[-1])
    return float(sgd.train_loss.sel(step=slice(0.2 * steps, 0.49 * steps)).mean())


def _measured_noise(sgd: xr.Dataset, setting: Setting) -> Schedule:
    """Return δ(t) from SGD's mean training loss over seeds, constant between records."""
    mean = sgd.train_loss.mean("seed").values
    fractions = sgd.step.values / float(sgd.step[-1])
    return piecewise(
        {
            float(t): plateau_noise(float(loss), setting.problem)
            for t, loss in zip(fractions, mean, strict=True)
        }
    )


def quantities(dataset: xr.Dataset) -> list[str]:
    """Return the names of the measures that are compared."""
    return [str(name) for name in dataset if name not in ("step_size", "diverged_at")]


def agreement(results: Mapping[str, xr.Dataset], way: str = SDE_RUN) -> xr.Dataset:
    """Compare the SDE with SGD: medians, spread, distributions.

    Returns
    -------
    Dataset with dimensions (problem, quantity, time): `ratio` of the medians SDE over SGD,
    `spread`, the ratio of their interquartile ranges, `effect` (Cliff's delta) and `p`, the
    energy test's p-value corrected for the number of comparisons by Holm's method. NaN where a
    problem lacks the quantity or a run has diverged. `flat` says for each problem whether SGD's
    loss stays where it is on the plateau.
    """
    problems = [name for name in settings() if f"{name}/{way}" in results]
    names = sorted({q for name in problems for q in quantities(results[f"{name}/{SGD_RUN}"])})
    shape = (len(problems), len(names), len(TIMES))
    found = {key: np.full(shape, np.nan) for key in ("ratio", "spread", "effect", "p")}
    for i, problem in enumerate(problems):
        sgd, sde = results[f"{problem}/{SGD_RUN}"], results[f"{problem}/{way}"]
        for j, name in enumerate(names):
            if name not in sgd:
                continue
            for k, share in enumerate(TIMES.values()):
                x, y = (_at(run[name], share) for run in (sde, sgd))
                if not (np.isfinite(x).all() and np.isfinite(y).all()):
                    continue
                medians = np.median(x), np.median(y)
                ranges = (
                    np.subtract(*np.quantile(x, [0.75, 0.25])),
                    np.subtract(*np.quantile(y, [0.75, 0.25])),
                )
                with np.errstate(divide="ignore", invalid="ignore"):
                    found["ratio"][i, j, k] = np.divide(*medians)
                    found["spread"][i, j, k] = np.divide(*ranges)
                found["effect"][i, j, k] = statistics.cliffs_delta(x, y)
                if len(x) > 1:
                    found["p"][i, j, k] = statistics.energy_test(x, y)[1]
    found["p"] = statistics.holm(found["p"].ravel()).reshape(shape)
    dims = ("problem", "quantity", "time")
    return xr.Dataset(
        {key: (dims, values) for key, values in found.items()}
        | {"flat": ("problem", [_flat(results[f"{p}/{SGD_RUN}"]) for p in problems])},
        coords={"problem": problems, "quantity": names, "time": list(TIMES)},
    )


def _at(quantity: xr.DataArray, share: float) -> np.ndarray:
    measured = quantity.dropna("step", how="all")
    until = share * float(quantity.step[-1])
    return measured.sel(step=slice(None, until)).isel(step=-1).values


def _flat(sgd: xr.Dataset) -> bool:
    """Say whether the typical loss drifts by less than a factor 1.5 from 20–35 % to 35–49 %."""
    steps = float(sgd.step[-1])
    early, late = (
        np.log(sgd.train_loss.sel(step=slice(a * steps, b * steps))).mean()
        for a, b in ((0.2, 0.35), (0.35, 0.49))
    )
    return bool(abs(float(late - early)) < np.log(1.5))
