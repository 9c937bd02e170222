"""`opposing-signals`: who moves, and who moves against whom."""

import numpy as np
import pytest
import xarray as xr

from largestep.experiments import Budget, get
from largestep.experiments.rosenfeld2024.opposing_signals import compute as signals
from largestep.experiments.rosenfeld2024.opposing_signals import show
from largestep.store import Results

LABEL = "η = 0.2"


def results(**variables):
    dataset = xr.Dataset(variables, coords={"schedule": [LABEL]})
    return Results.from_dict({signals.WITH: dataset})


def test_the_largest_movers_are_counted():
    movement = np.zeros((2, 1, signals.ROWS))
    movement[0, 0, : signals.OUTLIERS] = 1.0  # all outliers move most
    movement[1, 0, 5:25] = 1.0  # three quarters of the movers are outliers
    found = results(movement=(("seed", "schedule", "example"), movement))
    assert show.movers(LABEL, signals.WITH, found).tolist() == [1.0, 0.75]


def test_halves_in_antiphase_are_opposed_in_every_pair_across(rng):
    swing = np.where(np.arange(50) % 2 == 0, 1.0, -1.0)
    signs = np.repeat([1.0, -1.0], signals.OUTLIERS // 2)
    apart = signals._correlation(swing[:, None] * signs)
    alone = signals._correlation(rng.standard_normal((5000, signals.OUTLIERS)))
    stacked = np.stack([apart, alone])[:, None]
    found = results(correlation=(("seed", "schedule", "outlier", "other"), stacked))
    across = (signals.OUTLIERS / 2) ** 2
    pairs = signals.OUTLIERS * (signals.OUTLIERS - 1) / 2
    np.testing.assert_allclose(show.opposed(LABEL, signals.WITH, found), [across / pairs, 0.0])


def test_sides_alternate(rng):
    swing = rng.standard_normal(50)
    assert signals.between_sides(np.outer(swing, np.tile([1.0, -2.0], 5))) == pytest.approx(-1.0)
    assert np.isnan(signals.between_sides(np.zeros((50, 4))))


def test_a_quick_look_computes_claims_and_draws(tmp_path):
    experiment = get("opposing-signals")
    found = experiment.compute(Budget([0, 1, 2], quick=True))
    # The two data sets of a seed are the same but for one coordinate.
    start = {name: node.dataset.train_loss.isel(step=0) for name, node in found.items()}
    assert (start[signals.WITH] != start[signals.WITHOUT]).all()
    for claim in experiment.claims:
        assert claim.check(found)["control"] is not None
    experiment.draw(found)["figure"].savefig(tmp_path / "figure.png")
