"""SGD on the student, as in the paper and with a cap on each example's step."""

from dataclasses import replace

import numpy as np

from largestep import measures, networks, problems
from largestep.experiments.andriushchenko2023.teacher_student.setting import TEACHER_ANGLES, setting
from largestep.experiments.budget import Budget
from largestep.experiments.setting import capped_and_not
from largestep.store import Results

__all__ = ["aligned_share", "compute", "turned"]


def aligned_share(
    network: networks.Network, data: problems.Problem, thetas: np.ndarray
) -> np.ndarray:
    """Return the share of the student's mass within 5° of a teacher neuron's direction.

    A neuron's mass is |output weight| · ‖input weights‖: what it adds to the function. It is NaN
    while every neuron has none.
    """
    assert isinstance(network, networks.ReLU)
    (inputs, _), (outputs, _) = network.unpack(thetas)
    mass = np.abs(outputs[:, 0]) * np.linalg.norm(inputs, axis=-1)
    angles = np.arctan2(inputs[..., 1], inputs[..., 0])
    apart = np.abs(np.angle(np.exp(1j * (angles[..., np.newaxis] - TEACHER_ANGLES)))).min(axis=-1)
    total = mass.sum(axis=-1)
    aligned = (mass * (apart < np.radians(5))).sum(axis=-1)
    return np.divide(aligned, total, out=np.full_like(total, np.nan), where=total > 0)


def turned(network: networks.Network, data: problems.Problem, thetas: np.ndarray) -> np.ndarray:
    """Return the median angle, in degrees, by which the neurons have turned since the start."""
    assert isinstance(network, networks.ReLU)
    inputs = network.unpack(thetas)[0][0]
    angles = np.arctan2(inputs[..., 1], inputs[..., 0])
    moved = np.abs(np.angle(np.exp(1j * (angles - angles[0]))))
    return np.degrees(np.median(moved, axis=-1))


def compute(budget: Budget) -> Results:
    """Return the trajectories of both."""
    chosen = setting()
    return capped_and_not(
        budget,
        "teacher-student",
        chosen,
        measure=(
            "train_loss",
            "test_loss",
            measures.jacobian_rank(1e-4, every=3),
            replace(chosen.sparsity, every=3),
            measures.parameters(every=3),
            measures.Measure(
                "aligned_share", aligned_share, "share of mass within 5° of a teacher"
            ),
            measures.Measure("turned", turned, "median turn of a neuron, degrees"),
        ),
    )
