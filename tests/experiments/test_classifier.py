"""The classifier of digits in NumPy, against finite differences and PyTorch's Hessian."""

import sys

import numpy as np
import pytest

from largestep.experiments.classifier import Classifier, descend, digits

NETWORK = Classifier(5, 4, 3)


@pytest.fixture
def point(rng):
    return 0.7 * rng.standard_normal(NETWORK.parameters)


@pytest.fixture
def data(rng):
    return rng.standard_normal((12, 5)), rng.integers(0, 3, 12)


def differences(function, theta):
    steps = 1e-6 * np.eye(len(theta))
    return np.array([(function(theta + s) - function(theta - s)) / 2e-6 for s in steps])


def test_the_gradient_is_the_loss_s(point, data):
    expected = differences(lambda theta: NETWORK.loss(theta, *data), point)
    np.testing.assert_allclose(NETWORK.gradient(point, *data), expected, atol=1e-8)


def test_the_hessian_is_the_gradient_s(point, data):
    expected = differences(lambda theta: NETWORK.gradient(theta, *data), point)
    dense = NETWORK.hessian(point, *data) @ np.eye(len(point))
    np.testing.assert_allclose(dense, expected, atol=1e-7)
    np.testing.assert_allclose(dense, dense.T, atol=1e-14)


def test_the_hessian_is_that_of_deep_curvature(point, data, rng):
    torch = pytest.importorskip("torch")
    from largestep.deep.curvature.hessian import Hessian

    layers = torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)
    model = torch.nn.Sequential(*layers).double()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(point), model.parameters())
    batch = tuple(map(torch.from_numpy, data))
    hessian = Hessian(model, torch.nn.functional.cross_entropy, [batch])
    vectors = rng.standard_normal((len(point), 2))
    np.testing.assert_allclose(NETWORK.hessian(point, *data) @ vectors, hessian @ vectors)
    np.testing.assert_allclose(NETWORK.gradient(point, *data), hessian.gradient)
    assert NETWORK.loss(point, *data) == pytest.approx(hessian.loss)


def test_outputs_that_are_not_finite_have_no_error(point, data):
    assert 0 <= NETWORK.error(point, *data) <= 1
    assert np.isnan(NETWORK.error(np.full_like(point, np.inf), *data))


def test_an_epoch_visits_every_example_once_in_another_order(rng):
    seen = []
    steps = descend(
        lambda theta, batch: (seen.append(batch), theta)[1],
        np.ones(1),
        [0.5] * 6,
        rng,
        n=8,
        batch=3,
    )
    assert [float(theta[0]) for theta in steps] == [0.5**k for k in range(1, 7)]
    epochs = [np.concatenate(seen[at : at + 2]) for at in (0, 2, 4)]
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_digits_are_drawn_by_the_seed_and_never_tested_on():
    pytest.importorskip("sklearn")
    drawn = digits(0, 100, classes=3)
    assert drawn.x.shape == (100, 64)
    assert set(drawn.y) == {0, 1, 2} == set(drawn.y_test)
    assert drawn.x.max() == 1.0
    together = np.vstack([drawn.x, drawn.x_test])
    assert len(np.unique(together, axis=0)) == len(together)
    assert not np.array_equal(drawn.x, digits(1, 100, classes=3).x)


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'largestep\[torch\]'"):
        digits(0, 10)
