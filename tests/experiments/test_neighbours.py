"""Experiments from neighbouring papers: what they compute, by what is known of it."""

import numpy as np
import pytest

from largestep.experiments import Budget, get
from largestep.experiments.lu2023.weak_features import compute as weak_features
from largestep.experiments.wu2023.stability import compute as stability
from largestep.problems import feature_noise


@pytest.mark.parametrize("name", ["stability", "weak-features", "gradient-regularization"])
def test_it_computes_claims_and_draws(name, monkeypatch, tmp_path):
    monkeypatch.setattr(stability, "_MINIMA", 2)
    experiment = get(name)
    results = experiment.compute(Budget([0, 1, 2], quick=True))
    for claim in experiment.claims:
        found = claim.check(results)
        assert found["verdict"] in ("holds", "does not hold", "undecided", "not discriminating")
        assert found["control"] is not None
    experiment.draw(results)["figure"].savefig(tmp_path / "figure.png")


def test_the_simulated_threshold_of_one_direction_is_known():
    # θ ← (1 − ηa²)θ, a² = 1 or 4 at even odds: (η − 1)(4η − 1) = 1 has the root 5/4.
    rows = np.array([[1.0], [2.0]])
    found = stability._simulated(rows, 1, exact=1.05, budget=Budget([0]))
    assert found == pytest.approx(1.25, abs=0.02)


def test_weak_features_are_as_described():
    problem = feature_noise(400, weak=0.3, noise_coordinates=5, noise=0.1, only_weak=0.25, seed=3)
    np.testing.assert_allclose(problem.x_train[:, 0], 0.3 * problem.y_train)
    assert (problem.x_train[:100, 1] == 0).all()
    assert (problem.x_train[100:, 1] == problem.y_train[100:]).all()
    assert (problem.test_inputs[:, 1] == 0).all()
    assert problem.x_train[:, 2:].std() == pytest.approx(0.1, rel=0.1)
    same = feature_noise(400, weak=0.3, noise_coordinates=5, noise=0.1, only_weak=0.25, seed=3)
    assert (same.x_train == problem.x_train).all()
    with pytest.raises(ValueError, match="only_weak must be at least 0 and at most 1"):
        feature_noise(only_weak=1.5)


def test_the_edge_is_that_of_a_network_that_has_the_strong_feature_alone():
    # At u = v = √β with β = 1 on the strong feature: λ_max = 2, but for the noise.
    problem = feature_noise(40, weak=0.0, noise=0.0, seed=0)
    network = weak_features.DiagonalLinear(102, u0=0.1)
    assert weak_features._edge(network, problem, Budget([0])) == pytest.approx(1.0, rel=0.01)
