"""Experiments from neighbouring papers: what they compute, by what is known of it."""

import numpy as np
import pytest

from largestep.experiments import Budget, get
from largestep.experiments.andreyev2024.batch_sharpness import compute as sharpness
from largestep.experiments.lu2023.weak_features import compute as weak_features
from largestep.experiments.qiao2024.stable_minima import compute as stable_minima
from largestep.experiments.wu2023.stability import compute as stability
from largestep.experiments.xu2023.xor_clusters import compute as xor
from largestep.measures import batch_sharpness
from largestep.metrics import critical_step_size
from largestep.networks import ReLU
from largestep.problems import Problem, feature_noise, xor_clusters

NAMES = ["stability", "weak-features", "gradient-regularization", "stable-minima", "xor-clusters"]


@pytest.mark.parametrize("name", [*NAMES, "batch-sharpness"])
def test_it_computes_claims_and_draws(name, monkeypatch, tmp_path):
    monkeypatch.setattr(stability, "_MINIMA", 2)
    monkeypatch.setattr(sharpness, "_DRAWN", 2)
    monkeypatch.setattr(sharpness, "_N", 6)
    monkeypatch.setattr(sharpness, "NETWORK", ReLU((5, 4), True))
    monkeypatch.setattr(xor, "_RELU", ReLU((400, 4), False))
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


def test_patches_hold_the_same_data():
    problem = feature_noise(40, seed=1)
    apart = weak_features._in_patches(problem)
    patches = apart.x_train.reshape(40, 3, 102)
    np.testing.assert_array_equal(patches.sum(axis=1), problem.x_train)
    assert (np.count_nonzero(patches, axis=2) == [1, 1, 100]).all()
    assert (apart.test_inputs.reshape(-1, 3, 102)[:, 1] == 0).all()


def test_stable_minima_start_where_the_noise_is_fitted():
    problem = stable_minima.noisy(3)
    assert (np.diff(problem.x_train[:, 0]) > 0.03).all()
    start = stable_minima.interpolating(problem, 3)
    fit = stable_minima.NETWORK.predict(start, problem.x_train)
    assert np.abs(fit - problem.y_train).max() < 0.2
    assert np.abs(problem.y_train - 2 * np.abs(problem.x_train[:, 0]) + 1).mean() > 0.2


def test_of_single_examples_the_batch_sharpness_at_a_fit_is_the_trace(rng):
    # So η times half of it is at most 1 where SGD of batch size 1 stays, and less: see stability.
    network = ReLU((5, 4), True)
    theta, x = rng.standard_normal(network.parameters), rng.standard_normal((12, 5))
    fitted = Problem(x, network.predict(theta, x) + 1e-4)
    found = batch_sharpness().on(network, fitted, theta[np.newaxis])[0]
    rows = network.jacobian(theta, x)
    assert found == pytest.approx(np.mean(np.sum(rows**2, axis=1)), rel=1e-2)
    assert critical_step_size(rows) < 2.0 / found


def test_points_in_the_space_that_they_span_are_as_far_from_each_other():
    problem = xor_clusters(6, 50, seed=2, test_points=4)
    spanned = xor.in_their_span(problem)
    assert spanned.d == 10
    before, after = (np.concatenate([p.x_train, p.test_inputs]) for p in (problem, spanned))
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-9)
