import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from largestep.deep import Probe  # noqa: E402
from largestep.deep.measures import Movement  # noqa: E402
from largestep.figures.movement import draw_movement  # noqa: E402


def homogeneous():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(3, 10, bias=False),
            nn.ReLU(),
            nn.Linear(10, 7, bias=False),
            nn.ReLU(),
            nn.Linear(7, 2, bias=False),
        ).double()


def inputs(n=15):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, 3, generator=generator, dtype=torch.float64)


class Moved:
    """What `Movement` says of a model by its probe, as plain numbers."""

    def __init__(self, model, x, layers="auto"):
        self.probe = Probe(model, x, layers, measures=[Movement()])

    def measure(self):
        found = self.probe.measure()
        return {
            name: float(v) if v.ndim == 0 else dict(zip(v[v.dims[0]].values, v.values, strict=True))
            for name, v in found.data_vars.items()
        }


def test_at_initialisation_nothing_has_moved():
    found = Moved(homogeneous(), inputs()).measure()
    assert found["distance"] == found["patterns_changed"] == 0.0
    assert found["distance_by_module"] == {"0": 0.0, "2": 0.0, "4": 0.0}
    assert found["patterns_changed_by_layer"] == {"1": 0.0, "3": 0.0}
    assert found["kernel_distance"] == pytest.approx(0.0, abs=1e-12)


def test_rescaling_moves_the_parameters_alone():
    model = homogeneous()
    movement = Moved(model, inputs())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.7
    found = movement.measure()
    assert found["distance"] == pytest.approx(0.7)
    assert list(found["distance_by_module"].values()) == pytest.approx([0.7] * 3)
    assert found["patterns_changed"] == 0.0
    assert found["kernel_distance"] == pytest.approx(0.0, abs=1e-12)


def test_turning_the_first_layer_round_switches_its_patterns():
    model = homogeneous()
    movement = Moved(model, inputs())
    sizes = [float(p.detach().square().sum()) for p in model.parameters()]
    with torch.no_grad():
        model[0].weight *= -1
    found = movement.measure()
    assert found["patterns_changed_by_layer"]["1"] == 1.0
    assert found["distance_by_module"] == {"0": pytest.approx(2.0), "2": 0.0, "4": 0.0}
    assert found["distance"] == pytest.approx(2 * (sizes[0] / sum(sizes)) ** 0.5)
    assert 0 < found["kernel_distance"] < 1
    shares = found["patterns_changed_by_layer"]
    assert found["patterns_changed"] == pytest.approx((10 * shares["1"] + 7 * shares["3"]) / 17)


def test_the_kernel_distance_is_that_of_the_kernels():
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.ReLU()).double()
    x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    model[0].weight.data[:] = torch.tensor([1.0, 1.0, -1.0])
    movement = Moved(model, x)
    model[0].weight.data[:] = torch.tensor([-1.0, 1.0, 1.0])
    # Kernels diag(1, 1, 0) and diag(0, 1, 1).
    assert movement.measure()["kernel_distance"] == pytest.approx(0.5)
    assert movement.measure()["patterns_changed"] == pytest.approx(2 / 3)
    model[0].weight.data[:] = -1.0
    assert np.isnan(movement.measure()["kernel_distance"])


def test_modules_that_start_at_zero_and_diverged_models():
    model = homogeneous()
    model[4].weight.data.zero_()
    movement = Moved(model, inputs())
    assert movement.measure()["distance_by_module"]["4"] == 0.0
    model[4].weight.data[:] = 1.0
    assert movement.measure()["distance_by_module"]["4"] == np.inf
    model[0].weight.data[:] = torch.nan
    found = movement.measure()
    assert np.isnan([found["distance"], found["patterns_changed"], found["kernel_distance"]]).all()
    assert found["distance_by_module"]["2"] == 0.0


def test_the_model_stays_as_it_was():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    movement = Moved(model, inputs())
    first, second = movement.measure(), movement.measure()
    assert first == second
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())


def test_of_other_than_rectified_units_there_are_no_patterns():
    assert list(Moved(homogeneous(), inputs(), "3").measure()["patterns_changed_by_layer"]) == ["3"]
    smooth = nn.Sequential(nn.Linear(3, 4), nn.GELU()).double()
    assert np.isnan(Moved(smooth, inputs()).measure()["patterns_changed"])


def test_the_start_goes_with_the_checkpoint():
    model = homogeneous()
    probe = Probe(model, inputs(), measures=[Movement()])
    with torch.no_grad():
        model[2].weight += 0.2
    state = probe.state_dict()
    resumed = Probe(model, inputs(), measures=[Movement()])
    resumed.load_state_dict(state)
    assert resumed.measure().identical(probe.measure())
    assert float(resumed.measure().distance) > 0


def test_what_was_recorded_is_drawn():
    model = homogeneous()
    probe = Probe(model, inputs(), measures=[Movement()], every=10)
    for _ in range(20):
        last = probe.step()
        with torch.no_grad():
            model[2].weight += 0.02
    dataset = probe.dataset()
    assert dataset.step.values.tolist() == [0, 10, 20]
    assert float(dataset.distance[-1]) == last["distance"]
    assert float(dataset.distance_by_module.sel(module="2")[-1]) == last["distance_by_module/2"]
    drawing = draw_movement(dataset)
    curves = [line.get_ydata() for line in drawing.axes[0].lines]
    np.testing.assert_array_equal(curves[-1], dataset.distance)
    assert [len(ax.lines) for ax in drawing.axes[:3]] == [4, 3, 1]
