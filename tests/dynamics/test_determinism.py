"""A seed fixes a trajectory bit for bit, whatever the threads and the stretches."""

import pytest

import largestep as ls
from largestep.dynamics import (
    GD,
    SAM,
    SGD,
    ConstantNoiseSDE,
    HoldLoss,
    JacobianPenalizedGD,
    LabelNoise,
    simulation,
)
from largestep.schedules import decay, linear

SCHEDULES = {"decay": decay(0.05, factor=2, at=0.5), "warm-up": linear(0.0, 0.05)}


@pytest.mark.parametrize(
    "dynamics",
    [
        SGD(),
        SGD(3, cap=0.5, momentum=0.9),
        GD(),
        GD(0.5, 0.9),
        ConstantNoiseSDE(linear(0.0, 0.01), substeps=2),
        LabelNoise(linear(0.2, 0.0)),
        LabelNoise(0.1, of=GD()),
        SAM(0.02),
        SAM(0.02, of=GD(), per_example=False),
        SAM(0.02, of=SGD(2, cap=0.5, momentum=0.5)),
        JacobianPenalizedGD(0.01),
        HoldLoss(),
        HoldLoss(batch_size=3),
    ],
    ids=repr,
)
def test_neither_threads_nor_stretches_change_a_bit(
    sparse_problem, diagonal, monkeypatch, dynamics
):
    def run(threads):
        return ls.simulate(
            diagonal,
            sparse_problem,
            dynamics,
            None if dynamics.controls_step_size else SCHEDULES,
            steps=300,
            seeds=range(3),
            measure=["parameters"],
            threads=threads,
        )

    first = run(1)
    assert first.parameters.notnull().all()
    assert first.identical(run(4))
    for chunk in (1, 100, 1000):
        monkeypatch.setattr(simulation, "_CHUNK", chunk)
        assert first.identical(run(2))
