import numpy as np
import pytest
import xarray as xr

from largestep.dynamics import GD, SAM, SGD, JacobianPenalizedGD, LabelNoise
from largestep.experiments.extensions.rivals import compute as rivals
from largestep.experiments.extensions.rivals.show import best


@pytest.mark.parametrize(
    ("dynamics", "cost"),
    [
        (SGD(), 1),
        (LabelNoise(0.1), 1),
        (SAM(0.1), 2),
        (GD(), 80),
        (LabelNoise(0.1, of=GD()), 80),
        (SAM(0.1, of=GD()), 160),
        (JacobianPenalizedGD(0.1), 240),
    ],
)
def test_a_step_costs_its_gradients(dynamics, cost):
    assert rivals.gradients_per_step(dynamics, 80) == cost


def test_every_rival_spends_the_whole_budget():
    for contest in rivals.contests().values():
        for ways, _ in contest.grids.values():
            for dynamics in ways:
                cost = rivals.gradients_per_step(dynamics, contest.setting.problem.n)
                assert contest.gradients % cost < 0.01 * contest.gradients


def test_all_but_small_steps_decay_after_half():
    t = np.array([0.49, 0.51])
    np.testing.assert_allclose(rivals.schedule(rivals.SMALL, 0.2)(t), [0.2, 0.2])
    np.testing.assert_allclose(rivals.schedule(rivals.LARGE, 0.2)(t), [0.2, 0.05])


def test_the_best_setting_survives_before_it_is_good():
    ends = xr.Dataset(
        {
            "test_loss": (
                ("setting", "seed"),
                [[np.nan, 0.1, 0.1], [3.0, 3.0, 3.0], [2.0, 7.0, 2.0], [9.0, 9.0, 9.0]],
            ),
            "diverged_at": (
                ("setting", "seed"),
                [[5.0, np.nan, np.nan], [np.nan] * 3, [np.nan] * 3, [np.nan] * 3],
            ),
        },
        coords={"setting": ["a", "b", "c", "d"], "rival": ("setting", ["x", "x", "x", "y"])},
    )
    chosen = best(ends)
    assert chosen.rival.values.tolist() == ["x", "y"]
    assert chosen.setting.values.tolist() == ["c", "d"]
    # The seeds that chose, 0 and 2, are not shown.
    np.testing.assert_array_equal(chosen.test_loss, [[7.0], [9.0]])
