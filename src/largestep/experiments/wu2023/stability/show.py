"""What `stability` claims, and how it is drawn."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.wu2023.stability.compute import BATCHES, GD_STEPS, SGD_STEPS
from largestep.experiments.wu2023.stability.figure import draw_stability
from largestep.store import Results

__all__ = ["CLAIMS", "draw"]

SMALL, LARGE = f"{SGD_STEPS[0]:g}", f"{SGD_STEPS[-1]:g}"
GD_SMALL, GD_LARGE = f"{GD_STEPS[0]:g}", f"{GD_STEPS[-1]:g}"


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw minima against the bound, and the thresholds against the batch size."""
    return {"figure": draw_stability(results)}


def _end(results: Results, run: str, schedule: str, name: str) -> np.ndarray:
    values: np.ndarray = results[run].dataset[name].sel(schedule=schedule).isel(step=-1).values
    return values


def _share_of_bound(run: str, schedule: str, quantity: str, results: Results) -> np.ndarray:
    """Return η/2 times the trace or the largest eigenvalue of the Hessian at the end."""
    found = results[run].dataset.curvature.sel(schedule=schedule, quantity=quantity)
    share: np.ndarray = float(schedule) * found.isel(step=-1).values / 2
    return share


def _test_ratio(run: str, large: str, small: str, results: Results) -> np.ndarray:
    ratio: np.ndarray = _end(results, run, large, "test_loss") / _end(
        results, run, small, "test_loss"
    )
    return ratio


def _balance(schedule: str, results: Results) -> np.ndarray:
    """Return ‖θ‖²/(2‖u ⊙ v‖_1), at least 1."""
    u, v = np.split(_end(results, "sgd", schedule, "parameters"), 2, axis=-1)
    balance: np.ndarray = np.sum(u**2 + v**2, axis=-1) / (2 * np.sum(np.abs(u * v), axis=-1))
    return balance


def _simulated_over(way: str, results: Results) -> np.ndarray:
    """Return the simulated threshold over another, a column for each batch size."""
    thresholds = results["thresholds"].dataset.threshold.transpose("seed", "batch", "way")
    ratio: np.ndarray = (thresholds.sel(way="simulated") / thresholds.sel(way=way)).values
    return ratio


def _growth(batch: int, way: str, results: Results) -> np.ndarray:
    """Return by what factor a batch raises the threshold above that of a single example."""
    thresholds = results["thresholds"].dataset.threshold.sel(way=way)
    growth: np.ndarray = (thresholds.sel(batch=batch) / thresholds.sel(batch=1)).values
    return growth


def _losses(run: str, *schedules: str) -> dict[str, Callable[[Results], np.ndarray]]:
    return {f"η = {s}": partial(_end, run=run, schedule=s, name="test_loss") for s in schedules}


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "A minimum at which SGD stays has η·tr(H)/2 of at most 1.",
        "η·tr(H)/2 at the end, at each of the step sizes of SGD",
        lambda results: np.stack(
            [_share_of_bound("sgd", f"{eta:g}", "trace", results) for eta in SGD_STEPS], axis=-1
        ),
        "below",
        1.0,
        control=Control(
            f"a minimum at which GD stays, η = {GD_LARGE}",
            partial(_share_of_bound, "gd", GD_LARGE, "trace"),
        ),
    ),
    Claim(
        "So large steps of SGD end where the test loss is small.",
        f"final test loss, SGD at η = {LARGE} over SGD at {SMALL}, same seed",
        partial(_test_ratio, "sgd", LARGE, SMALL),
        "below",
        0.1,
        control=Control(
            f"GD at {GD_LARGE} over GD at {GD_SMALL}",
            partial(_test_ratio, "gd", GD_LARGE, GD_SMALL),
        ),
        beside=_losses("sgd", SMALL, LARGE),
    ),
    Claim(
        "GD at the edge of its own stability is far beyond SGD's bound.",
        f"η·tr(H)/2 at the end of GD at η = {GD_LARGE}",
        partial(_share_of_bound, "gd", GD_LARGE, "trace"),
        "above",
        5.0,
        control=Control(f"SGD at η = {LARGE}", partial(_share_of_bound, "sgd", LARGE, "trace")),
        beside={"η·λ_max/2": partial(_share_of_bound, "gd", GD_LARGE, "largest")},
    ),
    Claim(
        "Large steps of SGD balance the two layers: the trace is that of the ℓ1 norm.",
        f"‖θ‖²/(2‖u⊙v‖₁) at the end of SGD at η = {LARGE}; at least 1",
        partial(_balance, LARGE),
        "below",
        1.05,
        control=Control(f"SGD at η = {SMALL}", partial(_balance, SMALL)),
    ),
    Claim(
        "The exact threshold is where the linearised SGD starts to grow.",
        f"simulated over exact threshold, each of the batch sizes {', '.join(map(str, BATCHES))}",
        partial(_simulated_over, "exact"),
        "within",
        (1.0, 1.1),
        control=Control("over the trace bound", partial(_simulated_over, "trace bound")),
        over="minima",
    ),
    Claim(
        "A larger batch allows a larger step, at first in proportion.",
        "exact threshold at B = 4 over that at B = 1",
        partial(_growth, 4, "exact"),
        "above",
        3.0,
        control=Control("GD's threshold, 2/λ_max", partial(_growth, 4, "2/λ_max")),
        over="minima",
    ),
    Claim(
        "On the paper's data too large steps of SGD lower the test loss.",
        "final test loss, SGD at η = 0.26 over SGD at 0.02, same seed",
        partial(_test_ratio, "diagonal sgd", "0.26", "0.02"),
        "below",
        0.1,
        control=Control(
            "GD at 2.5 over GD at 0.2", partial(_test_ratio, "diagonal gd", "2.5", "0.2")
        ),
        beside=_losses("diagonal sgd", "0.02", "0.26"),
    ),
    Claim(
        "Large steps of GD do not: they raise it.",
        "final test loss, GD at η = 2.5 over GD at 0.2, same seed",
        partial(_test_ratio, "diagonal gd", "2.5", "0.2"),
        "above",
        1.5,
        control=Control(
            "SGD at 0.26 over SGD at 0.02", partial(_test_ratio, "diagonal sgd", "0.26", "0.02")
        ),
        beside=_losses("diagonal gd", "0.2", "2.5"),
    ),
)
