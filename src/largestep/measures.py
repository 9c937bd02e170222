"""What `simulate` can record: metrics applied to a network along its trajectory.

A measure is named by a string (with its default settings), made by a function of this module
(with settings of its own), or is a `Measure` of the user's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from largestep import _checks, metrics
from largestep.networks import DiagonalLinear, Network, ReLU
from largestep.problems import Problem

__all__ = [
    "Measure",
    "effective_rank",
    "feature_sparsity",
    "jacobian_rank",
    "named",
    "nonzero_coordinates",
    "parameters",
    "predictions",
    "test_loss",
    "train_loss",
]


@dataclass(frozen=True)
class Measure:
    """One quantity, measured at recorded steps of every trajectory.

    Parameters
    ----------
    name : of the variable in the dataset.
    function : (network, problem, thetas of shape (r, p)) → array of shape (r, …).
    long_name : what a plot's axis says.
    dims : names of the dimensions after the first, if any.
    every : measure at each `every`-th recorded step, at the first and at the last; the others
        are NaN. For measures that cost more than the training itself.
    coords : coordinates along `dims`, where they have any.
    """

    name: str
    function: Callable[[Network, Problem, np.ndarray], np.ndarray]
    long_name: str
    dims: tuple[str, ...] = ()
    every: int = 1
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _checks.integer("every", self.every, at_least=1)


def named(measures: Iterable[str | Measure]) -> list[Measure]:
    """Return the measures, those given by name with their default settings.

    Raises
    ------
    ValueError
        If a name is unknown (the error lists those there are) or comes twice.
    """
    makers: dict[str, Callable[[], Measure]] = {
        maker.__name__: maker
        for maker in (
            train_loss,
            test_loss,
            jacobian_rank,
            effective_rank,
            nonzero_coordinates,
            feature_sparsity,
            parameters,
            predictions,
        )
    }
    result = []
    for measure in measures:
        if isinstance(measure, str):
            if measure not in makers:
                raise ValueError(f"measure must be one of {', '.join(makers)}, got {measure!r}")
            measure = makers[measure]()
        result.append(measure)
    names = [measure.name for measure in result]
    taken = {"step_size", "diverged_at", "schedule", "seed", "step"} & set(names)
    if taken:
        raise ValueError(f"a measure must have a name of its own, got {taken.pop()!r}")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"measures must have distinct names, got {name!r} twice")
    return result


def train_loss() -> Measure:
    """Loss on the training points: loss_factor · mean(r²)."""

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        return _loss(network, thetas, problem.x_train, problem.y_train)

    return Measure("train_loss", function, "training loss")


def test_loss() -> Measure:
    """Loss on the test points: loss_factor · mean(r²)."""

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        return _loss(network, thetas, problem.test_inputs, problem.test_targets)

    return Measure("test_loss", function, "test loss")


def jacobian_rank(
    relative_tolerance: float | Sequence[float] = 1e-4,
    *,
    points: int | None = None,
    every: int = 1,
) -> Measure:
    """Rank of the Jacobian at the first `points` test inputs (by default p, or all there are).

    Several tolerances share the decomposition and give the variable a dimension `threshold`.
    """
    several = isinstance(relative_tolerance, Sequence)
    tolerances = np.atleast_1d(relative_tolerance)
    for tolerance in tolerances.tolist():
        _checks.number("relative_tolerance", tolerance, at_least=0.0, at_most=1.0)
    if points is not None:
        _checks.integer("points", points, at_least=1)

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        ranks = np.empty((len(thetas), len(tolerances)))
        for rank, core in zip(
            ranks, _jacobian_cores(network, problem, thetas, points), strict=True
        ):
            values = metrics.singular_values(core)
            rank[:] = np.sum(values > tolerances[:, np.newaxis] * values[0], axis=1)
        return ranks if several else ranks[:, 0]

    coords = {"threshold": tolerances} if several else {}
    return Measure("jacobian_rank", function, "rank of the Jacobian", tuple(coords), every, coords)


def effective_rank(*, points: int | None = None, every: int = 1) -> Measure:
    """Effective rank of the Jacobian at the first `points` test inputs (by default p, or all)."""

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        cores = _jacobian_cores(network, problem, thetas, points)
        return np.array([metrics.effective_rank(core) for core in cores])

    return Measure("effective_rank", function, "effective rank of the Jacobian", every=every)


def nonzero_coordinates(relative_tolerance: float = 1e-6) -> Measure:
    """Coordinates of u ⊙ v above a share of the largest; for diagonal networks."""

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        if not isinstance(network, DiagonalLinear):
            raise TypeError(f"nonzero_coordinates is for DiagonalLinear networks, got {network!r}")
        return np.asarray(
            metrics.nonzero_coordinates(network.coefficients(thetas), relative_tolerance)
        )

    return Measure(
        "nonzero_coordinates", function, f"coordinates above {relative_tolerance:g} of the largest"
    )


def feature_sparsity(
    correlation_threshold: float = 0.99, *, layer: int = -1, every: int = 1
) -> Measure:
    """Feature sparsity coefficient of a hidden layer at the training inputs; for ReLU networks.

    Features are normalised per input, as the paper does for small networks. Layers before the
    last have their number in the variable's name: `feature_sparsity_1`, …
    """

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        if not isinstance(network, ReLU):
            raise TypeError(f"feature_sparsity is for ReLU networks, got {network!r}")
        stack = network.features(thetas, problem.x_train)[layer]
        return np.array(
            [
                metrics.feature_sparsity(features, correlation_threshold, normalize=True).distinct
                for features in stack
            ]
        )

    name = "feature_sparsity" if layer == -1 else f"feature_sparsity_{layer + 1}"
    return Measure(name, function, "feature sparsity coefficient", every=every)


def parameters(*, every: int = 1) -> Measure:
    """Record the parameters θ themselves."""

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        return thetas

    return Measure("parameters", function, "parameters", ("parameter",), every)


def predictions(*, every: int = 1) -> Measure:
    """Record the predictions h_θ at the test inputs."""

    def function(network: Network, problem: Problem, thetas: np.ndarray) -> np.ndarray:
        return network.predict(thetas, problem.test_inputs)

    return Measure("predictions", function, "prediction", ("test_point",), every)


def _loss(network: Network, thetas: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    residuals = network.predict(thetas, x) - y
    loss: np.ndarray = network.loss_factor * np.mean(residuals**2, axis=-1)
    return loss


def _jacobian_cores(
    network: Network, problem: Problem, thetas: np.ndarray, points: int | None
) -> Iterable[np.ndarray]:
    inputs = problem.test_inputs[: points or network.parameters]
    return (network.jacobian_core(theta, inputs) for theta in thetas)
