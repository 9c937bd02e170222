import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from largestep.deep.measures.movement import Movement  # noqa: E402
from largestep.figures.movement import draw_movement  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


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


def test_at_initialisation_nothing_has_moved():
    found = Movement(homogeneous(), inputs()).measure()
    assert found["distance"] == found["patterns_changed"] == 0.0
    assert found["distance_by_layer"] == {"0": 0.0, "2": 0.0, "4": 0.0}
    assert found["patterns_changed_by_layer"] == {"1": 0.0, "3": 0.0}
    assert found["kernel_distance"] == pytest.approx(0.0, abs=1e-12)


def test_rescaling_moves_the_parameters_alone():
    model = homogeneous()
    movement = Movement(model, inputs())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.7
    found = movement.measure()
    assert found["distance"] == pytest.approx(0.7)
    assert list(found["distance_by_layer"].values()) == pytest.approx([0.7] * 3)
    assert found["patterns_changed"] == 0.0
    assert found["kernel_distance"] == pytest.approx(0.0, abs=1e-12)


def test_turning_the_first_layer_round_switches_its_patterns():
    model = homogeneous()
    movement = Movement(model, inputs())
    sizes = [float(p.detach().square().sum()) for p in model.parameters()]
    with torch.no_grad():
        model[0].weight *= -1
    found = movement.measure()
    assert found["patterns_changed_by_layer"]["1"] == 1.0
    assert found["distance_by_layer"] == {"0": pytest.approx(2.0), "2": 0.0, "4": 0.0}
    assert found["distance"] == pytest.approx(2 * (sizes[0] / sum(sizes)) ** 0.5)
    assert 0 < found["kernel_distance"] < 1
    shares = found["patterns_changed_by_layer"]
    assert found["patterns_changed"] == pytest.approx((10 * shares["1"] + 7 * shares["3"]) / 17)


def test_the_kernel_distance_is_that_of_the_kernels():
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.ReLU()).double()
    x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    model[0].weight.data[:] = torch.tensor([1.0, 1.0, -1.0])
    movement = Movement(model, x)
    model[0].weight.data[:] = torch.tensor([-1.0, 1.0, 1.0])
    # Kernels diag(1, 1, 0) and diag(0, 1, 1).
    assert movement.measure()["kernel_distance"] == pytest.approx(0.5)
    assert movement.measure()["patterns_changed"] == pytest.approx(2 / 3)
    model[0].weight.data[:] = -1.0
    assert np.isnan(movement.measure()["kernel_distance"])


def test_modules_that_start_at_zero_and_diverged_models():
    model = homogeneous()
    model[4].weight.data.zero_()
    movement = Movement(model, inputs())
    assert movement.measure()["distance_by_layer"]["4"] == 0.0
    model[4].weight.data[:] = 1.0
    assert movement.measure()["distance_by_layer"]["4"] == np.inf
    model[0].weight.data[:] = torch.nan
    found = movement.measure()
    assert np.isnan([found["distance"], found["patterns_changed"], found["kernel_distance"]]).all()
    assert found["distance_by_layer"]["2"] == 0.0


def test_the_model_stays_as_it_was():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    movement = Movement(model, inputs())
    first, second = movement.measure(), movement.measure()
    assert first == second
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())


def test_layers_can_be_chosen_or_left_out():
    model = homogeneous()
    assert list(Movement(model, inputs(), "3").measure()["patterns_changed_by_layer"]) == ["3"]
    none = Movement(model, inputs(), ()).measure()
    assert none["patterns_changed_by_layer"] == {}
    assert np.isnan(none["patterns_changed"])
    smooth = nn.Sequential(nn.Linear(3, 4), nn.GELU()).double()
    assert np.isnan(Movement(smooth, inputs()).measure()["patterns_changed"])
    with pytest.raises(ValueError, match="matches nothing"):
        Movement(model, inputs(), "relu")


def test_what_was_recorded_is_drawn():
    model = homogeneous()
    movement = Movement(model, inputs())
    with pytest.raises(ValueError, match="nothing was recorded"):
        movement.dataset()
    for step in (0, 10, 20):
        last = movement.record(step)
        with torch.no_grad():
            model[2].weight += 0.2
    dataset = movement.dataset()
    assert dataset.step.values.tolist() == [0, 10, 20]
    assert float(dataset.distance[-1]) == last["distance"]
    assert float(dataset.distance_by_layer.sel(layer="2")[-1]) == last["distance_by_layer"]["2"]
    drawing = draw_movement(dataset)
    curves = [line.get_ydata() for line in drawing.axes[0].lines]
    np.testing.assert_array_equal(curves[-1], dataset.distance)
    assert [len(ax.lines) for ax in drawing.axes[:3]] == [4, 3, 1]
