"""The experiments whose network and problem can be swept."""

from dataclasses import replace

from largestep import measures
from largestep.experiments import diagonal, regression_1d, teacher_student, three_layer
from largestep.measures.base import Measure
from largestep.networks.base import Network
from largestep.networks.diagonal import DiagonalLinear
from largestep.problems import Problem, one_dimensional_regression, sparse_regression

__all__ = ["SETTINGS", "setting"]


def setting(name: str) -> tuple[Network, Problem, tuple[str | Measure, ...]]:
    """Return the network, the problem and the measures of a named experiment.

    Raises
    ------
    ValueError
        If it can't be swept; the error lists those that can.
    """
    if name not in SETTINGS:
        raise ValueError(f"a sweep must be of {', '.join(SETTINGS)}, got {name!r}")
    return SETTINGS[name]()


def _diagonal() -> tuple[Network, Problem, tuple[str | Measure, ...]]:
    network = DiagonalLinear(d=200, u0=0.1, v0=0.0)
    problem = sparse_regression(n=80, d=200, nonzeros=20, seed=0)
    return network, problem, _measures(measures.nonzero_coordinates())


def _regression() -> tuple[Network, Problem, tuple[str | Measure, ...]]:
    sparsity = measures.feature_sparsity(0.999, every=10**9)
    return regression_1d.NETWORK, one_dimensional_regression(), _measures(sparsity)


def _teacher_student() -> tuple[Network, Problem, tuple[str | Measure, ...]]:
    sparsity = measures.feature_sparsity(0.99, every=10**9)
    return teacher_student.STUDENT, teacher_student.problem(), _measures(sparsity)


def _three_layer() -> tuple[Network, Problem, tuple[str | Measure, ...]]:
    sparsity = measures.feature_sparsity(0.99, every=10**9)
    return three_layer.STUDENT, three_layer.problem(), _measures(sparsity)


def _measures(sparsity: Measure) -> tuple[str | Measure, ...]:
    # So large an `every` leaves the first record and the last.
    rank = measures.jacobian_rank(1e-4, every=10**9)
    return ("train_loss", replace(measures.test_loss(), every=10**9), sparsity, rank)


SETTINGS = {
    diagonal.EXPERIMENT.name: _diagonal,
    regression_1d.EXPERIMENT.name: _regression,
    teacher_student.EXPERIMENT.name: _teacher_student,
    three_layer.EXPERIMENT.name: _three_layer,
}
"""The experiments whose network and problem can be swept."""
