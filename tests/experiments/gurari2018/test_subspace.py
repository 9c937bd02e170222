"""`subspace`: projections, overlaps and the valley's floor."""

import numpy as np
import pytest

from largestep.experiments import Budget, get
from largestep.experiments.gurari2018.subspace import compute as subspace

pytest.importorskip("sklearn")


def test_a_projection_splits_the_gradient_and_its_square(rng):
    gradient = rng.standard_normal(30)
    vectors, _ = np.linalg.qr(rng.standard_normal((30, 4)))
    dominant, bulk = (subspace.projected(gradient, vectors, way) for way in ("dominant", "bulk"))
    np.testing.assert_allclose(dominant + bulk, subspace.projected(gradient, vectors, "plain"))
    assert dominant @ dominant + bulk @ bulk == pytest.approx(gradient @ gradient)
    np.testing.assert_allclose(vectors.T @ bulk, 0.0, atol=1e-14)
    np.testing.assert_allclose(subspace.projected(dominant, vectors, "dominant"), dominant)


def test_the_overlap_is_of_spaces_not_of_bases(rng):
    space, _ = np.linalg.qr(rng.standard_normal((50, 6)))
    turned = space[:, :3] @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    assert subspace.overlap(space[:, :3], turned) == pytest.approx(1.0)
    assert subspace.overlap(space[:, :3], space[:, 3:]) == pytest.approx(0.0, abs=1e-12)
    assert subspace.overlap(space[:, :3], space[:, 2:5]) == pytest.approx(1 / 3)


def test_swings_across_the_valley_do_not_change_its_floor():
    network, data, start = subspace._start(0, 200, 10)
    theta = subspace._path(network, data, start, subspace.RUNS["SGD, 0.5"], 60, 0)[-1]
    top = subspace._top(network, data, theta, 10)
    away = theta + 0.3 * top.vectors[:, 0]
    rise = network.loss(away, data.x, data.y) - network.loss(theta, data.x, data.y)
    floors = [subspace.floor(network, data, at) for at in (theta, away)]
    assert rise > 0.05
    assert abs(floors[1] - floors[0]) < 0.2 * rise
    assert floors[0] < network.loss(theta, data.x, data.y)


def test_the_three_ways_see_the_same_batches_and_remove_what_they_say():
    network, data, theta = subspace._start(3, 64, 10)
    removed = {}
    for way in subspace.WAYS:
        path, removed[way] = subspace._without(network, data, theta, way, 1, 3)
        assert len(path) == 2
    assert removed["plain"] == 0.0
    assert removed["bulk"] + removed["dominant"] == pytest.approx(1.0)


def test_a_quick_look_computes_claims_and_draws(monkeypatch, tmp_path):
    monkeypatch.setattr(subspace, "_MANY", 128)
    monkeypatch.setattr(subspace, "_DRAWS", 1)
    monkeypatch.setattr(subspace, "_IMAGES", 64)
    experiment = get("subspace")
    found = experiment.compute(Budget([0], quick=True, threads=1))
    assert found["confinement"].dataset.share.max() <= 1 + 1e-12
    for claim in experiment.claims:
        assert claim.check(found)["control"] is not None
    experiment.draw(found)["figure"].savefig(tmp_path / "figure.png")
