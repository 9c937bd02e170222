"""`logistic`: iterations until separation, where they are known and where there are none."""

import sys

import numpy as np
import pytest

from largestep.experiments import Budget, get
from largestep.experiments.tyurin2024.logistic import compute as logistic
from largestep.losses import logistic as loss
from largestep.problems import Problem


@pytest.fixture(scope="module")
def worst_case():
    return logistic.separation(logistic.worst_case(), 500)


def test_the_worst_case_takes_as_many_iterations_as_published(worst_case):
    assert worst_case.iterations.sel(way="GD", step_size=100.0) == 308
    normalised = worst_case.iterations.sel(way="normalised GD")
    assert normalised.sel(step_size=[0.1, 1.0, 10.0, 100.0]).values.tolist() == [157, 16, 2, 2]


def test_what_is_given_up_is_recorded_and_has_no_number(worst_case):
    slow = worst_case.sel(way="GD", step_size=0.1)
    assert np.isnan(slow.iterations)
    assert slow.given_up_at == 500
    assert worst_case.given_up_at.isnull().equals(worst_case.iterations.notnull())


def test_what_cannot_be_separated_is_given_up_by_all():
    corners = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    found = logistic.separation(Problem(corners, np.array([1.0, 1.0, -1.0, -1.0])), 50)
    assert found.iterations.isnull().all()
    assert (found.given_up_at == 50).all()
    assert np.isnan(found.perceptron)
    assert np.isfinite(found.peak_loss).all()
    limit = logistic.limit(Problem(corners, np.array([1.0, 1.0, -1.0, -1.0])), 50)
    assert limit.distance.isnull().all()


def test_labels_other_than_signs_are_refused():
    with pytest.raises(ValueError, match=r"y_train must be labels, 1 or -1, got 0 at index 1"):
        logistic.separation(Problem(np.eye(2), np.array([1.0, 0.0])), 10)


def test_one_example_is_separated_at_once_and_the_limit_is_exact():
    problem = Problem(np.array([[2.0, -1.0]]), np.array([-1.0]), loss=loss)
    assert (logistic.separation(problem, 50).iterations == 1).all()
    # From θ = 0 the first step is the perceptron's at any step size: the slope is −y/2 of both.
    np.testing.assert_allclose(logistic.limit(problem, 50).distance, 0.0, atol=1e-15)


def test_the_digits_are_signs_in_two_parts():
    pytest.importorskip("sklearn")
    problem = logistic.digits(0)
    assert problem.x_train.shape == (250, 65)
    assert problem.test_inputs.shape == (107, 65)
    assert (problem.x_train[:, -1] == 1).all()
    assert problem.x_train.max() == 1.0
    assert not np.array_equal(problem.x_train, logistic.digits(1).x_train)


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'largestep\[torch\]'"):
        logistic.digits(0)


def test_a_quick_look_computes_claims_and_draws(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(logistic, "worst_case", lambda: logistic.digits(9))
    experiment = get("logistic")
    results = experiment.compute(Budget([0, 1, 2], quick=True))
    for claim in experiment.claims:
        assert claim.check(results)["control"] is not None
    experiment.draw(results)["figure"].savefig(tmp_path / "figure.png")
