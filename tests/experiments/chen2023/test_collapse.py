"""`collapse`: the exponent at the origin, and which neurons count."""

import numpy as np
import pytest
from scipy.integrate import quad

from largestep.experiments import Budget, get
from largestep.experiments.chen2023.collapse import compute as collapse
from largestep.experiments.chen2023.collapse import show
from largestep.networks import ReLU


def by_quadrature(step_size, sigma):
    """Return E ln|a + bξ|, integrated on both sides of where it is −∞."""
    a, b = 1 + 2 * step_size, 2 * step_size * sigma

    def integrand(xi):
        return np.log(abs(a + b * xi)) * np.exp(-(xi**2) / 2) / np.sqrt(2 * np.pi)

    zero = max(-a / b, -12.0)
    left = quad(integrand, -12.0, zero)[0] if zero > -12.0 else 0.0
    return left + quad(integrand, zero, 12.0)[0]


@pytest.mark.parametrize("step_size", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("strength", [0.25, 1.0, 4.0])
def test_the_exponent_is_the_mean_of_the_logarithm(step_size, strength):
    sigma = np.sqrt(strength / step_size)
    expected = by_quadrature(step_size, sigma)
    assert collapse.exponent(step_size, sigma) == pytest.approx(expected, abs=1e-7)


def test_the_limit_of_small_steps_is_the_paper_s_condition():
    # dθ = 2θ dt + 2√η σ θ dB: ln θ grows by 2 − 2ησ², which is −(L''(0) + D''(0)/2).
    assert collapse.exponent(0.1, 0.0) == pytest.approx(np.log(1.2))
    for strength in (0.5, 1.0, 2.0):
        rate = collapse.exponent(1e-5, np.sqrt(strength / 1e-5)) / 1e-5
        assert rate == pytest.approx(2 - 2 * strength, abs=1e-3)


def test_neurons_that_are_small_or_silent_do_not_live_and_multiples_are_one():
    network = ReLU((2, 5), biases=False)
    inwards = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1e-2, 1e-2], [-1.0, -1.0]])
    outwards = np.array([1.0, 0.5, 1.0, 1e-2, 1.0])
    theta = np.concatenate([inwards.ravel(), outwards])
    x = np.random.default_rng(0).uniform(0.1, 1.0, (30, 2))
    features = network.features(theta[np.newaxis], x)[0][0]
    assert collapse.neurons(network, theta, features) == {"living": 3, "distinct": 2}
    nothing = np.zeros_like(theta)
    assert collapse.neurons(network, nothing, 0 * features) == {"living": 0, "distinct": 0}


def test_a_run_that_has_diverged_has_not_collapsed(monkeypatch):
    monkeypatch.setattr(collapse, "STEP_SIZES", (0.1, 0.3))
    monkeypatch.setattr(collapse, "STRENGTHS", (2.0, 4.0))
    scalar = collapse._scalar(Budget([0, 1, 2], threads=1), lambda: None)
    ended = show.collapsed(scalar)
    assert not ended.sel(step_size=0.3).any()
    assert scalar.diverged_at.sel(step_size=0.3).notnull().any()
    assert ended.sel(step_size=0.1, strength=2.0).any()


def test_a_quick_look_computes_claims_and_draws(monkeypatch, tmp_path):
    monkeypatch.setattr(collapse, "STEP_SIZES", (0.02, 0.1))
    experiment = get("collapse")
    found = experiment.compute(Budget([0, 1], quick=True, threads=1))
    assert found["scalar"].dataset["size"].sizes["moment"] == 41
    for claim in experiment.claims:
        assert claim.check(found)["control"] is not None
    experiment.draw(found)["figure"].savefig(tmp_path / "figure.png")
