import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import largestep as ls
from largestep import metrics

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from largestep.deep import jacobian as deep  # noqa: E402
from largestep.deep.curvature.function import ModelFunction  # noqa: E402


def convolutional(outputs=3, dtype=torch.float64):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Conv2d(3, 4, 3, stride=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16, outputs),
        )
        model(torch.randn(30, 1, 6, 6))
    return model.to(dtype)


def images(n, seed=0):
    return torch.randn(n, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def as_torch(network, theta):
    """Return the library's ReLU network as a model, its parameters in the order of theta."""
    layers = []
    for weights, biases in network.unpack(theta):
        linear = nn.Linear(*weights.shape[::-1], bias=biases is not None, dtype=torch.float64)
        linear.weight.data[:] = torch.tensor(weights)
        if biases is not None:
            linear.bias.data[:] = torch.tensor(biases)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_it_is_the_jacobian_of_the_librarys_own_networks(widths, biases, seed):
    network = ls.networks.ReLU(tuple(widths), biases=biases)
    rng = np.random.default_rng(seed)
    theta, x = network.initialize(rng), rng.standard_normal((6, widths[0]))
    found = deep.jacobian(as_torch(network, theta), torch.tensor(x), reduction=0)
    np.testing.assert_allclose(found, network.jacobian(theta, x), atol=1e-12)


@pytest.mark.parametrize("reduction", ["projection", "each", 1])
def test_every_route_agrees_with_the_dense_answer(reduction):
    model, x = convolutional(), images(14)
    dense = deep.jacobian(model, x, reduction=reduction)
    values = metrics.singular_values(dense.numpy())
    for route in ("gram", "sketch"):
        found = deep.jacobian_spectrum(model, x, reduction=reduction, route=route)
        np.testing.assert_allclose(found, values, atol=1e-7 * values[0])
        rank = deep.jacobian_rank(model, x, 0.05, reduction=reduction, route=route)
        assert rank == metrics.jacobian_rank(dense, 0.05)
    kernel = deep.tangent_kernel(model, x, reduction=reduction)
    np.testing.assert_allclose(kernel, dense @ dense.T, atol=1e-12)
    np.testing.assert_array_equal(kernel, kernel.T)
    effective = deep.effective_rank(model, x, reduction=reduction)
    assert effective == pytest.approx(metrics.effective_rank(dense), rel=1e-6)


def test_finite_differences_find_the_same():
    model, x = convolutional(), images(4)
    function = ModelFunction(model, evaluation=True)
    found = deep.jacobian(model, x, reduction=2)
    rng = torch.Generator().manual_seed(0)
    direction = torch.randn(function.size, dtype=torch.float64, generator=rng)
    flat = torch.cat([p.flatten() for p in function.parameters])
    with function.undisturbed():
        up, down = (function(function.split(flat + h * direction), x)[:, 2] for h in (1e-6, -1e-6))
    np.testing.assert_allclose(found @ direction, (up - down) / 2e-6, rtol=1e-6, atol=1e-8)


def test_rows_of_each_output_lie_side_by_side_and_are_projected_by_one_direction():
    model, x = convolutional(), images(5)
    each = deep.jacobian(model, x, reduction="each").reshape(5, 3, -1).numpy()
    for c in range(3):
        np.testing.assert_allclose(each[:, c], deep.jacobian(model, x, reduction=c), atol=1e-14)
    projected = deep.jacobian(model, x, seed=4).numpy()
    direction = np.linalg.lstsq(each[0].T, projected[0])[0]
    assert np.linalg.norm(direction) == pytest.approx(1.0)
    np.testing.assert_allclose(projected, np.einsum("c,ncp->np", direction, each), atol=1e-12)


def test_the_kernel_of_projections_is_the_trace_kernel_on_average():
    model, x = convolutional(), images(3)
    each = deep.jacobian(model, x, reduction="each").reshape(3, 3, -1).numpy()
    expected = np.einsum("icp,jcp->ij", each, each) / 3
    found = np.mean([deep.tangent_kernel(model, x, seed=seed) for seed in range(200)], axis=0)
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)


@pytest.mark.parametrize("reduction", ["projection", "each"])
def test_bounded_memory_and_vectorisation_change_nothing(reduction, monkeypatch):
    model, x = convolutional(), images(11)
    reference = deep.tangent_kernel(model, x, reduction=reduction)
    size = sum(p.numel() for p in model.parameters())
    for memory in (1, 8 * size * 9, 8 * size * 25):
        found = deep.tangent_kernel(model, x, reduction=reduction, memory=memory)
        np.testing.assert_allclose(found, reference, rtol=1e-10, atol=1e-12)
    monkeypatch.setattr(deep, "_SLICE", 100)
    monkeypatch.setattr(deep, "_BATCH", 4)
    np.testing.assert_allclose(
        deep.jacobian_spectrum(model, x, reduction=reduction, route="sketch"),
        deep.jacobian_spectrum(model, x, reduction=reduction),
        atol=1e-6,
    )
    monkeypatch.setattr(deep._Scalars, "_rows", deep._Scalars._vectorised)
    found = deep.tangent_kernel(model, x, reduction=reduction)
    np.testing.assert_allclose(found, reference, rtol=1e-10, atol=1e-12)


def test_dependent_inputs_are_counted_once():
    model = convolutional()
    x = images(6).repeat(3, 1, 1, 1)
    for route in ("gram", "sketch"):
        assert deep.jacobian_rank(model, x, 1e-6, route=route) == 6
    dead = nn.Linear(2, 1, bias=False)
    assert deep.jacobian_rank(dead, torch.zeros(3, 2)) == 0
    assert deep.effective_rank(dead, torch.zeros(3, 2)) == 0.0


def test_a_sketch_never_exceeds_the_spectrum_and_refuses_a_rank_beyond_its_size():
    model, x = convolutional(), images(40)
    values = deep.jacobian_spectrum(model, x)
    found = deep.jacobian_spectrum(model, x, route="sketch", size=10)
    assert len(found) == 10
    assert (found <= values[:10] * (1 + 1e-10)).all()
    np.testing.assert_allclose(found[:3], values[:3], rtol=1e-2)
    with pytest.raises(ValueError, match="at least 10, got 10"):
        deep.jacobian_rank(model, x, route="sketch", size=10)


def test_what_a_route_cannot_resolve_is_refused():
    model, x = convolutional(), images(20)
    with pytest.raises(ValueError, match=r"at least 7e-08.*sketch.*metrics.jacobian_rank"):
        deep.jacobian_rank(model, x, 1e-8)
    with pytest.raises(ValueError, match=r"1e-08.*dense Jacobian"):
        deep.jacobian_rank(model, x, 1e-12, route="sketch")
    with pytest.raises(ValueError, match=r"torch.float32.*model.double\(\)"):
        deep.jacobian_rank(convolutional(dtype=torch.float32), x, 1e-7)
    with pytest.raises(ValueError, match="bfloat16"):
        deep.jacobian_rank(convolutional(dtype=torch.bfloat16), x)
    # The limit is real: twenty values that should be zero are noise below it.
    twice = x.repeat(2, 1, 1, 1)
    noise = deep.jacobian_spectrum(model, twice)
    assert 1e-12 < noise[20] / noise[0] < (40 * 2.0**-52) ** 0.5
    dense = metrics.singular_values(deep.jacobian(model, twice).numpy())
    assert dense[20] / dense[0] < 1e-14


def test_single_precision_resolves_what_it_says():
    x = images(20)
    fine = deep.jacobian_spectrum(convolutional(), x)
    coarse = deep.jacobian_spectrum(convolutional(dtype=torch.float32), x)
    np.testing.assert_allclose(coarse, fine, atol=1.2e-6 * fine[0])


def test_the_model_and_all_random_states_stay_as_they_were():
    model, x = convolutional(), images(5)
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    precision = torch.backends.cuda.matmul.fp32_precision
    with torch.no_grad():
        deep.jacobian_spectrum(model, x)
        deep.jacobian_rank(model, x, 1e-3, route="sketch")
        assert not torch.is_grad_enabled()
    with pytest.raises(RuntimeError):
        deep.tangent_kernel(model, torch.ones(3, 2, 6, 6))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[3].weight.grad is None
    assert torch.backends.cuda.matmul.fp32_precision == precision


def test_autocast_inference_mode_and_wrappers_change_nothing():
    model, x = convolutional(dtype=torch.float32), images(5)
    reference = deep.tangent_kernel(model, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(deep.tangent_kernel(model, x), reference)
    with torch.inference_mode():
        np.testing.assert_array_equal(deep.tangent_kernel(model, x.clone()), reference)
    np.testing.assert_array_equal(deep.tangent_kernel(nn.DataParallel(model), x), reference)


def test_frozen_and_tied_parameters():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    model[2].weight = model[0].weight
    assert deep.jacobian(model, torch.ones(4, 3)).shape == (4, 9)
    half = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1))
    half[0].requires_grad_(False)
    assert deep.jacobian(half, torch.ones(4, 3)).shape == (4, 6)


def test_attention_has_derivatives_on_every_route():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        model = nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 2)).double()
        x = torch.randn(6, 5, 8)
    values = metrics.singular_values(deep.jacobian(model, x).numpy())
    for route in ("gram", "sketch"):
        found = deep.jacobian_spectrum(model, x, route=route)
        np.testing.assert_allclose(found, values, atol=1e-7 * values[0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": 3}, TypeError, "torch.nn.Module"),
        ({"inputs": np.ones((2, 3))}, TypeError, "inputs must be a tensor, got ndarray"),
        ({"inputs": torch.ones(0, 3)}, ValueError, "at least one"),
        ({"reduction": "mean"}, ValueError, "'projection', 'each' or the index"),
        ({"reduction": 2}, ValueError, "index below 2, got 2"),
        ({"reduction": 0.5}, TypeError, "reduction must be an integer"),
        ({"route": "dense"}, ValueError, "'gram' or 'sketch', got 'dense'"),
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"memory": 0}, ValueError, "memory must be at least 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"inputs": torch.full((2, 3), torch.nan)}, ValueError, "must be finite"),
        ({"model": nn.LSTM(3, 2)}, TypeError, "must return a tensor, got tuple"),
        ({"model": nn.Flatten()}, ValueError, "require a gradient, got none"),
        (
            {"model": nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False))},
            ValueError,
            "batch norm '0' must keep running statistics",
        ),
    ],
)
def test_bad_input_is_refused(change, error, message):
    given = {"model": nn.Linear(3, 2), "inputs": torch.ones(2, 3)} | change
    with pytest.raises(error, match=message):
        deep.jacobian_spectrum(**given)


@pytest.mark.parametrize("route", ["gram", "sketch"])
def test_logits_in_single_precision_of_a_model_in_half(route):
    class Logits(nn.Linear):
        def forward(self, x):
            return super().forward(x).float()

    torch.manual_seed(0)
    model, x = Logits(4, 3).bfloat16(), torch.randn(10, 4)
    plain = nn.Linear(4, 3)
    plain.load_state_dict({k: v.float() for k, v in model.state_dict().items()})
    found, expected = (
        deep.jacobian_spectrum(m, x.bfloat16().float(), route=route, size=5, reduction=1)
        for m in (model, plain)
    )
    np.testing.assert_allclose(found, expected, rtol=0.02)
    assert deep.effective_rank(model, x) == pytest.approx(deep.effective_rank(plain, x), rel=0.05)
