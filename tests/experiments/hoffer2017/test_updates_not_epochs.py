"""`updates-not-epochs`: what the regularised gradient is, and that ways differ as they say."""

import numpy as np
import pytest

from largestep.experiments import Budget, get
from largestep.experiments.classifier import Classifier
from largestep.experiments.hoffer2017.updates_not_epochs import compute as updates


def test_the_regularised_gradient_is_that_of_a_penalty_to_first_order(rng):
    network = Classifier(4, 5, 3)
    theta = 0.5 * rng.standard_normal(network.parameters)
    data = rng.standard_normal((10, 4)), rng.integers(0, 3, 10)
    gradient = network.gradient(theta, *data)
    reach = 1e-5
    added = (updates.uphill(network, theta, *data, reach) - gradient) / reach
    # ∇(‖∇L‖²/2) = H∇L.
    np.testing.assert_allclose(added, network.hessian(theta, *data) @ gradient, atol=1e-4)
    np.testing.assert_array_equal(updates.uphill(network, theta, *data, 0.0), gradient)


def test_a_quick_look_computes_claims_and_draws(monkeypatch, tmp_path):
    pytest.importorskip("sklearn")
    experiment = get("updates-not-epochs")
    found = experiment.compute(Budget([0, 1], quick=True, threads=1))
    ends = found["ends"].dataset
    # Four steps of full batches do not depend on the order; ten times as many go further.
    assert (ends.train_loss.sel(way="GD, 400") < ends.train_loss.sel(way="GD, 40")).all()
    for claim in experiment.claims:
        assert claim.check(found)["control"] is not None
    experiment.draw(found)["figure"].savefig(tmp_path / "figure.png")
