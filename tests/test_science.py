"""What must come out at full length: minutes, not seconds."""

import numpy as np
import pytest

from largestep import measures, simulate
from largestep.dynamics import SGD, HoldLoss
from largestep.experiments import Budget, get
from largestep.networks import DiagonalLinear
from largestep.problems import sparse_regression
from largestep.schedules import decay

pytestmark = pytest.mark.slow

NETWORK = DiagonalLinear(d=200, u0=0.1, v0=0.0)


def ends(dynamics, schedule):
    runs = simulate(
        NETWORK,
        sparse_regression(n=80, d=200, nonzeros=20, seed=0),
        dynamics,
        schedule,
        steps=100_001,
        seeds=range(50),
        measure=["test_loss", "nonzero_coordinates", measures.jacobian_rank(1e-8)],
        record=[100_001],
    )
    return runs.isel(schedule=0, step=0)


def test_a_cap_makes_the_plateau_stable_and_changes_nothing_else():
    found = ends(SGD(cap=4.0), decay(0.282, factor=1.5, at=0.5))
    assert found.diverged_at.isnull().all()
    assert found.test_loss.median() <= 2e-4
    assert 41 <= found.nonzero_coordinates.median() <= 48
    assert 50 <= found.jacobian_rank.median() <= 62


def test_small_steps_stay_dense():
    found = ends(SGD(), 0.25)
    assert found.diverged_at.isnull().all()
    assert found.test_loss.median() >= 3e-3
    assert found.nonzero_coordinates.median() >= 130


def test_holding_the_loss_never_diverges_and_generalises():
    found = ends(HoldLoss(), None)
    assert found.diverged_at.isnull().all()
    assert found.test_loss.median() <= 2.5e-5


def test_large_steps_and_held_losses_make_a_deep_network_sparser():
    pytest.importorskip("torch")
    (found,) = get("digits").compute(Budget(seeds=[0, 1, 2])).values()
    assert found.diverged_at.isnull().all()
    last = found.distinct.isel(layer=-1, step=-1).median("seed")
    for schedule in ("large until 50%", "LossStabilization"):
        assert last.sel(schedule=schedule) < 0.67 * last.sel(schedule="small")
    errors = found.test_error.isel(step=-1).median("seed")
    assert np.ptp(errors.values) < 0.02
