import numpy as np
import pytest

from largestep import measures
from largestep.losses import logistic
from largestep.networks import Linear
from largestep.problems import Problem


def test_errors_are_shares_of_wrong_signs_and_zero_is_wrong():
    x = np.array([[1.0], [-2.0], [0.0], [3.0]])
    labels = np.array([1.0, 1.0, -1.0, 1.0])
    problem = Problem(x, labels, x[:2], labels[:2], loss=logistic)
    thetas = np.array([[2.0], [-1.0], [0.0]])
    on = (Linear(1), problem, thetas)
    assert measures.train_error().on(*on).tolist() == [0.5, 0.75, 1.0]
    assert measures.test_error().on(*on).tolist() == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("measure", "name"),
    [(measures.train_error(), "y_train"), (measures.test_error(), "y_test")],
)
def test_targets_that_are_no_labels_are_named(measure, name):
    problem = Problem(np.eye(2), np.array([1.0, 0.5]))
    with pytest.raises(ValueError, match=rf"{name} must be labels, 1 or -1, got 0.5 at index 1"):
        measure.on(Linear(2), problem, np.zeros((1, 2)))
