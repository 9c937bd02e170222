"""`lazy`: the parameterisation, and what its numbers mean."""

import numpy as np
import pytest
import xarray as xr

from largestep import measures, simulate
from largestep.dynamics import GD
from largestep.experiments import Budget, get
from largestep.experiments.jacot2018.lazy import compute as lazy
from largestep.experiments.jacot2018.lazy import show
from largestep.networks import Linear
from largestep.problems import sphere
from largestep.store import Results


def test_it_takes_the_steps_of_the_tangent_parameterisation(rng):
    # There a layer's weights are N(0, 1) and its outputs divided by √fan-in: h is the same, and
    # gradient descent too, with a step size that is √(dm) times as large.
    width, d = 8, lazy.INPUTS
    network = lazy.network(width, lazy.TANGENT)
    problem = sphere(5, d, 0)
    factor = (d * width) ** -0.25
    own = rng.standard_normal(network.parameters)
    w, a = own[: width * d].reshape(width, d), own[width * d :]
    step_size = 0.1
    runs = simulate(
        network, problem, GD(), step_size, steps=1, initial=factor * own, measure=["parameters"]
    )
    z = problem.x_train @ w.T / np.sqrt(d)
    h = np.maximum(z, 0) @ a / np.sqrt(width)
    np.testing.assert_allclose(network.predict(factor * own, problem.x_train), h)
    r = (h - problem.y_train) / problem.n
    to_w = ((r[:, None] * (z > 0) * a).T @ problem.x_train) / np.sqrt(d * width)
    to_a = r @ np.maximum(z, 0) / np.sqrt(width)
    moved = own - step_size / factor**2 * np.concatenate([to_w.ravel(), to_a])
    np.testing.assert_allclose(runs.parameters[0, 0, -1] / factor, moved, atol=1e-12)


def test_a_linear_predictor_is_lazy_at_any_step_size():
    problem = sphere(30, 10, 0)
    start = measures.curvature().on(Linear(10), problem, np.zeros((1, 10)))[0, 0]
    runs = simulate(
        Linear(10), problem, GD(), 1.9 / start, steps=50, measure=[measures.kernel_distance()]
    )
    np.testing.assert_allclose(runs.kernel_distance, 0.0, atol=1e-12)


def test_the_exponent_is_that_of_a_power():
    distances = np.array([np.array(lazy.WIDTHS) ** -2.0, [0.1, np.nan, 0.1, 0.1]])
    dataset = xr.Dataset(
        {"kernel_distance": (("seed", "width", "kappa"), distances[..., None])},
        coords={"kappa": [lazy.LAZY]},
    )
    found = show.exponent(lazy.LAZY, Results.from_dict({lazy.TANGENT: dataset}))
    assert found[0] == pytest.approx(-2.0)
    assert np.isnan(found[1])


def test_a_quick_look_computes_claims_and_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, "GRID_WIDTH", 64)
    experiment = get("lazy")
    results = experiment.compute(Budget([0, 1, 2], quick=True))
    moved = results["step sizes"].dataset.kernel_distance
    assert (moved.sel(kappa=3.0) > 2 * moved.sel(kappa=0.5)).all()
    for claim in experiment.claims:
        assert claim.check(results)["control"] is not None
    experiment.draw(results)["figure"].savefig(tmp_path / "figure.png")
