"""The shortcuts that a network offers change no trajectory but by rounding."""

import numpy as np
import pytest

import largestep as ls
from largestep.dynamics import GD, SGD, ConstantNoiseSDE, LabelNoise
from largestep.dynamics.kernel import keep
from largestep.schedules import decay, linear


class Plain(ls.networks.DiagonalLinear):
    stride = predictions = combination = None


@pytest.mark.parametrize(
    "dynamics",
    [
        SGD(),
        SGD(cap=0.02),
        LabelNoise(linear(0.2, 0.0)),
        GD(),
        GD(momentum=0.9),
        ConstantNoiseSDE(linear(0.0, 0.01), substeps=2),
        LabelNoise(0.1, of=GD()),
    ],
    ids=repr,
)
@pytest.mark.parametrize("loss", [ls.losses.Squared(1.3), ls.losses.logistic], ids=repr)
def test_a_trajectory_is_the_same_by_shortcuts(dynamics, loss):
    if isinstance(dynamics, LabelNoise | ConstantNoiseSDE) and loss is ls.losses.logistic:
        return
    given = ls.problems.sparse_regression(n=30, d=21, nonzeros=4, seed=3)
    y = np.sign(given.y_train) if loss is ls.losses.logistic else given.y_train
    problem = ls.problems.Problem(given.x_train, y, loss=loss)
    schedules = {"stays": decay(0.05, factor=2, at=0.5), "diverges": 30.0}
    ways = [
        ls.simulate(
            network,
            problem,
            dynamics,
            schedules,
            steps=150,
            seeds=range(2),
            measure=["parameters"],
            threads=1,
        )
        for network in (ls.networks.DiagonalLinear(21), Plain(21))
    ]
    quick, plain = ways
    assert quick.diverged_at.equals(plain.diverged_at)
    if loss is not ls.losses.logistic and dynamics != SGD(cap=0.02):
        assert quick.diverged_at.sel(schedule="diverges").notnull().all()
    np.testing.assert_allclose(
        quick.parameters.sel(schedule="stays"),
        plain.parameters.sel(schedule="stays"),
        rtol=1e-9,
        atol=1e-12,
    )


def test_an_order_of_all_examples_is_what_no_order_stands_for(sparse_problem, diagonal):
    class Every(GD):
        def examples(self, trajectory, steps):
            return trajectory.every(steps)

    way, other = (
        ls.simulate(
            diagonal, sparse_problem, dynamics, 0.05, steps=50, measure=["parameters"], threads=1
        )
        for dynamics in (GD(), Every())
    )
    np.testing.assert_allclose(way.parameters, other.parameters, rtol=1e-10, atol=1e-13)


def test_a_snapshot_is_a_copy():
    theta, row = np.arange(3.0), np.zeros(3)
    keep(theta, row)
    theta[:] = 7.0
    np.testing.assert_array_equal(row, np.arange(3.0))
