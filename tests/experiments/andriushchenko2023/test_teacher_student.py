import numpy as np
import pytest

from largestep.experiments.andriushchenko2023.teacher_student.compute import aligned_share
from largestep.experiments.andriushchenko2023.teacher_student.setting import (
    STUDENT,
    TEACHER_ANGLES,
    problem,
)


def test_mass_near_a_teacher_is_counted():
    angles = np.array([TEACHER_ANGLES[0] + 0.05, 1.0, *np.full(18, 2.0)])
    inputs = np.column_stack([np.cos(angles), np.sin(angles)])
    outputs = np.array([3.0, -1.0, *np.zeros(18)])
    theta = np.concatenate([inputs.ravel(), outputs])
    start = np.concatenate([inputs.ravel(), np.zeros(20)])
    share = aligned_share(STUDENT, problem(), np.stack([start, theta]))
    assert np.isnan(share[0])
    assert share[1] == pytest.approx(0.75)
