"""What `logistic` claims, and how it is drawn."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from largestep.experiments.claims import Claim, Control
from largestep.experiments.phases import ratio, two_seeds
from largestep.experiments.tyurin2024.logistic.compute import DIAGONAL, NORMALISED, PLAIN
from largestep.experiments.tyurin2024.logistic.figure import draw_separation
from largestep.store import Results

SMALL, LARGE, LARGEST = 1.0, 100.0, 1000.0
AT_THE_LIMIT, ON_THE_WAY = 1e6, 1e3
SPARSE, DENSE = DIAGONAL[-1], DIAGONAL[0]


def draw(results: Results) -> Mapping[str, Figure]:
    """Draw iterations, losses, the limit, the worst case, and the diagonal network."""
    names = ("digits", "limit", "worst case", "diagonal")
    return {"figure": draw_separation(*(results[name].dataset for name in names))}


def _plain(name: str, step_size: float, results: Results) -> np.ndarray:
    dataset = results["digits"].dataset.sel(way=PLAIN, step_size=step_size)
    return dataset[name].values


def _loss(step_size: float, results: Results) -> np.ndarray:
    return _plain("peak_loss", step_size, results) / np.log(2.0)


def _perceptron(results: Results) -> np.ndarray:
    return results["digits"].dataset.perceptron.values


def _distance(step_size: float, results: Results) -> np.ndarray:
    return results["limit"].dataset.distance.sel(step_size=step_size).values


def _iterations(dataset: xr.Dataset, way: str) -> xr.DataArray:
    return dataset.iterations.sel(way=way)


def _gain(data: str, results: Results) -> np.ndarray:
    """Return normalised over plain iterations at every step size."""
    dataset = results[data].dataset
    gain = _iterations(dataset, NORMALISED) / _iterations(dataset, PLAIN)
    return (gain.median("seed") if "seed" in gain.dims else gain).values


def _fewest(way: str, results: Results) -> np.ndarray:
    return _iterations(results["digits"].dataset, way).min("step_size").values


def _end(name: str, step_size: float, results: Results) -> np.ndarray:
    return results["diagonal"].dataset[name].sel(schedule=step_size).values


def _falls(name: str, what: str, sentence: str, bound: float) -> Claim:
    return Claim(
        sentence,
        f"final {what}, η = {SPARSE:g} over η = {DENSE:g}, same seed",
        lambda r: ratio(_end(name, SPARSE, r), _end(name, DENSE, r)),
        "below",
        bound,
        control=two_seeds(f"η = {DENSE:g}", partial(_end, name, DENSE)),
        beside={
            f"η = {DENSE:g}": partial(_end, name, DENSE),
            f"η = {SPARSE:g}": partial(_end, name, SPARSE),
        },
        whose="our own",
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "Larger steps separate the classes in fewer iterations.",
        f"iterations, γ = {LARGE:g} over γ = {SMALL:g}, same seed",
        lambda r: ratio(_plain("iterations", LARGE, r), _plain("iterations", SMALL, r)),
        "below",
        0.5,
        control=two_seeds(f"γ = {SMALL:g}", partial(_plain, "iterations", SMALL)),
        beside={
            f"γ = {SMALL:g}": partial(_plain, "iterations", SMALL),
            f"γ = {LARGE:g}": partial(_plain, "iterations", LARGE),
        },
    ),
    Claim(
        "Meanwhile the loss gets larger than at the start.",
        f"peak loss over log 2, γ = {LARGE:g}",
        partial(_loss, LARGE),
        "above",
        10.0,
        control=Control(f"γ = {SMALL:g}", partial(_loss, SMALL)),
        beside={
            f"peak loss, γ = {SMALL:g}": partial(_plain, "peak_loss", SMALL),
            f"peak loss, γ = {LARGE:g}": partial(_plain, "peak_loss", LARGE),
        },
    ),
    Claim(
        "The limit of large steps is the perceptron.",
        f"relative distance of θ/γ to the perceptron's θ as that separates, γ = {AT_THE_LIMIT:.0e}",
        partial(_distance, AT_THE_LIMIT),
        "below",
        1e-9,
        control=Control(f"γ = {ON_THE_WAY:g}", partial(_distance, ON_THE_WAY)),
    ),
    Claim(
        "So it takes as many iterations as the perceptron.",
        f"iterations, γ = {LARGEST:g} over the perceptron's, same seed",
        lambda r: ratio(_plain("iterations", LARGEST, r), _perceptron(r)),
        "within",
        (0.9, 1.1),
        control=Control(
            f"γ = {SMALL:g}", lambda r: ratio(_plain("iterations", SMALL, r), _perceptron(r))
        ),
        beside={"perceptron": _perceptron, "γ = 1000": partial(_plain, "iterations", LARGEST)},
    ),
    Claim(
        "Normalised gradient descent is better in the worst case.",
        "iterations, normalised over plain gradient descent, at each step size",
        partial(_gain, "worst case"),
        "below",
        0.1,
        control=Control("digits, medians over seeds", partial(_gain, "digits")),
        beside={
            "plain": lambda r: _iterations(r["worst case"].dataset, PLAIN).values,
            "normalised": lambda r: _iterations(r["worst case"].dataset, NORMALISED).values,
        },
        over="step sizes",
    ),
    Claim(
        "On digits normalising saves a tenth of the iterations, each at its best step size.",
        "fewest iterations over step sizes, normalised over plain gradient descent, same seed",
        lambda r: ratio(_fewest(NORMALISED, r), _fewest(PLAIN, r)),
        "below",
        0.9,
        control=Control(
            "the perceptron in its place", lambda r: ratio(_perceptron(r), _fewest(PLAIN, r))
        ),
        beside={"plain": partial(_fewest, PLAIN), "normalised": partial(_fewest, NORMALISED)},
    ),
    _falls(
        "nonzero_coordinates",
        "number of coordinates above 1 % of the largest",
        "With the logistic loss large steps make a diagonal network sparser.",
        0.5,
    ),
    _falls(
        "test_error",
        "test error",
        "With the logistic loss large steps make a diagonal network generalise better.",
        1.0,
    ),
)
