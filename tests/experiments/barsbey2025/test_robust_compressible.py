"""`robust-compressible`: what the images hold, and that a collapsed network has no values."""

import numpy as np
import pytest

from largestep import store
from largestep.experiments import Budget, get
from largestep.experiments.barsbey2025.robust_compressible import compute as robust

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")


def test_right_digits_agree_as_often_as_said():
    data = robust.pairs(0, 0.95)
    assert data.x.shape == (800, 128)
    single = robust.digits(0, 1000)

    def right_classes(x, source, labels):
        known = {image.tobytes(): label for image, label in zip(source, labels, strict=True)}
        return np.array([known[image[64:].tobytes()] for image in x])

    agrees = right_classes(data.x, single.x, single.y) == data.y
    assert agrees.mean() == pytest.approx(0.95, abs=0.03)
    for (x, y), expected in ((data.agreeing, 1.0), (data.disagreeing, 0.0)):
        assert np.mean(right_classes(x, single.x_test, single.y_test) == y) == expected


def test_the_left_digit_is_dim_and_noisy_and_its_own_class():
    data = robust.pairs(1, 0.95)
    single = robust.digits(1, 1000)
    nearest = [
        int(np.argmin(np.sum((robust._CONTRAST * single.x - image[:64]) ** 2, axis=1)))
        for image in data.x[:50]
    ]
    assert np.mean(single.y[nearest] == data.y[:50]) > 0.9
    assert data.x[:, :64].std() < data.x[:, 64:].std()


def test_held_out_images_are_not_those_of_the_accuracies():
    held_out, unseen = robust._halves(robust.pairs(0, 0.95))
    for (x, _), (again, _) in zip(held_out, unseen, strict=True):
        assert len(x) == len(again) == 350
        assert not {row.tobytes() for row in x} & {row.tobytes() for row in again}


def test_the_module_is_the_network(rng):
    theta = robust.NETWORK.initialize(rng)
    x = rng.standard_normal((4, 128))
    outputs = robust.as_module(theta)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(outputs, robust.NETWORK.outputs(theta, x))


def test_a_network_whose_outputs_are_constant_has_no_values():
    data = robust.pairs(0, 0.95)
    found = robust._measured(np.zeros(robust.NETWORK.parameters), data)
    assert found["collapsed"] == 1.0
    assert np.isnan([v for name, v in found.items() if name != "collapsed"]).all()


def test_a_quick_look_computes_claims_and_draws(monkeypatch, tmp_path):
    schedules = {name: (step_size, 200) for name, (step_size, _) in robust.SCHEDULES.items()}
    monkeypatch.setattr(robust, "SCHEDULES", schedules)
    experiment = get("robust-compressible")
    computed = experiment.compute(Budget([0], quick=True, threads=1))
    store.save(tmp_path / "results.nc", computed, {})
    found, _ = store.load(tmp_path / "results.nc")
    sizes = found["shortcut"].dataset["size"]
    assert ((sizes > 0) & (sizes <= 1)).all()
    for claim in experiment.claims:
        assert claim.check(found)["control"] is not None
    experiment.draw(found)["figure"].savefig(tmp_path / "figure.png")
