"""Ranks of the Jacobian at the test inputs."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from largestep import _checks
from largestep.measures.base import Measure
from largestep.metrics import rank
from largestep.networks.base import Network
from largestep.problems import Problem

__all__ = ["effective_rank", "jacobian_rank"]


def jacobian_rank(
    relative_tolerance: float | Sequence[float] = 1e-4,
    *,
    points: int | None = None,
    every: int = 1,
) -> Measure:
    """Rank of the Jacobian at the first `points` test inputs (by default p, or all there are).

    Several tolerances share the decomposition and give the variable a dimension `threshold`.
    """
    several = np.ndim(relative_tolerance) > 0
    tolerances = np.atleast_1d(_checks.view("relative_tolerance", relative_tolerance, shape=(...,)))
    if tolerances.ndim != 1 or tolerances.size == 0:
        raise ValueError(
            "relative_tolerance must be a number or a list of one or more, got "
            f"{_checks.shown(relative_tolerance)}"
        )
    for tolerance in tolerances.tolist():
        _checks.number("relative_tolerance", tolerance, at_least=0.0, at_most=1.0)
    if points is not None:
        _checks.integer("points", points, at_least=1)
    coords = {"threshold": tolerances} if several else {}
    function = partial(_ranks, tolerances, several, points)
    return Measure("jacobian_rank", function, "rank of the Jacobian", tuple(coords), every, coords)


def effective_rank(*, points: int | None = None, every: int = 1) -> Measure:
    """Effective rank of the Jacobian at the first `points` test inputs (by default p, or all)."""
    if points is not None:
        _checks.integer("points", points, at_least=1)
    function = partial(_effective_ranks, points)
    return Measure("effective_rank", function, "effective rank of the Jacobian", every=every)


def _ranks(
    tolerances: np.ndarray,
    several: bool,
    points: int | None,
    network: Network,
    problem: Problem,
    thetas: np.ndarray,
) -> np.ndarray:
    ranks = np.empty((len(thetas), len(tolerances)))
    decomposed = tolerances.min() < rank.LEAST_BY_SQUARES  # else it costs more than it spares
    cores = _cores(network, problem, thetas, points, decomposed)
    for row, core in zip(ranks, cores, strict=True):
        row[:] = rank.count_above(core, tolerances)
    return ranks if several else ranks[:, 0]


def _effective_ranks(
    points: int | None, network: Network, problem: Problem, thetas: np.ndarray
) -> np.ndarray:
    cores = _cores(network, problem, thetas, points, True)
    return np.array([rank.effective_rank(core) for core in cores])


def _cores(
    network: Network, problem: Problem, thetas: np.ndarray, points: int | None, decomposed: bool
) -> Iterator[np.ndarray]:
    """Yield a matrix with the singular values of the Jacobian at each of the parameters."""
    inputs = problem.test_inputs[: points or network.parameters]
    if decomposed and network.linear_in_inputs and len(inputs) > network.inputs:
        inputs = np.asarray(np.linalg.qr(inputs, mode="r"))
    return (network.jacobian_core(theta, inputs) for theta in thetas)
