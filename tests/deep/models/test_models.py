import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from largestep.deep import data, models
from largestep.deep.models.densenet import DenseLayer
from largestep.deep.models.parts import normalization
from largestep.deep.models.resnet import BasicBlock

SMALL = {
    "small_resnet": {"widths": (4, 6)},
    "resnet18": {"width": 4},
    "resnet34": {"width": 4},
    "small_densenet": {},
    "densenet100": {"growth": 2},
    "densenet_bc100": {"growth": 2},
    "vgg16": {},
}


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def small(name, **settings):
    return models.build(name, classes=5, channels=3, **SMALL[name], **settings)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 11_173_962),
        ("resnet34", 21_282_122),
        ("densenet_bc100", 769_162),
        ("vgg16", 14_728_266),
    ],
)
def test_parameters_are_as_many_as_published(name, count):
    assert parameters(models.build(name, classes=10)) == count


@pytest.mark.parametrize("growth", [3, 12])
@pytest.mark.parametrize("bottleneck", [False, True])
def test_parameters_of_dense_networks_by_arithmetic(growth, bottleneck):
    # Normalisation and convolution of c channels to d in k × k: 2c + k²cd.
    layers, width = (16, 2 * growth) if bottleneck else (32, 16)
    count = 3 * 9 * width
    for stage in range(3):
        c = width + growth * np.arange(layers)
        if bottleneck:
            count += np.sum(2 * c + c * 4 * growth)
            c = np.full(layers, 4 * growth)
        count += np.sum(2 * c + 9 * c * growth)
        width += layers * growth
        if stage < 2:
            after = width // 2 if bottleneck else width
            count += 2 * width + width * after
            width = after
    count += 2 * width + 10 * width + 10
    build = models.densenet_bc100 if bottleneck else models.densenet100
    assert parameters(build(growth=growth)) == count
    if growth == 12:
        assert round(count / 1e6, 1) == (0.8 if bottleneck else 7.0)


def test_a_wider_class_count_only_changes_the_linear_layer():
    assert parameters(models.resnet18(classes=200)) - parameters(models.resnet18()) == 190 * 513


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_learns_whatever_the_size_of_the_image(name, norm):
    model = small(name, norm=norm)
    normed = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm, "none": nn.Identity}[norm]
    assert any(isinstance(module, normed) for module in model.modules())
    others = {nn.BatchNorm2d, nn.GroupNorm} - {normed}
    assert not any(isinstance(module, tuple(others)) for module in model.modules())
    for size in (9, 20):
        output = model(torch.rand(2, 3, size, size))
        assert output.shape == (2, 5)
        assert output.isfinite().all()
    output.square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
    assert all(parameter.grad.any() for parameter in list(model.parameters())[:2])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [1, 8, 64])
def test_sizes_from_one_pixel(name, size):
    assert small(name).eval()(torch.rand(1, 3, size, size)).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("small_resnet", [(4, 32, 32), (6, 16, 16)]),
        ("resnet18", [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]),
        ("resnet34", [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]),
        ("densenet100", [(80, 32, 32), (144, 16, 16), (208, 8, 8)]),
        ("densenet_bc100", [(36, 32, 32), (50, 16, 16), (57, 8, 8)]),
        ("vgg16", [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2), (512, 1, 1)]),
    ],
)
def test_stages_are_named_in_order_and_their_features_are_not_negative(name, shapes):
    model = small(name)
    seen = []
    for stage in models.stages(model):
        model.get_submodule(stage).register_forward_hook(
            lambda module, inputs, output: seen.append(output)
        )
    model(torch.randn(2, 3, 32, 32))
    assert [tuple(features.shape[1:]) for features in seen] == shapes
    for features in seen:
        assert features.min() >= 0
        assert features.max() > 0


@pytest.mark.parametrize("name", SMALL)
def test_what_other_tools_need(name):
    model = small(name).eval()
    x = torch.rand(2, 3, 32, 32)
    expected = model(x)

    traced = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(traced(x), expected)
    assert models.stages(traced) == models.stages(model)
    # Every non-linearity is a module of its own, used once, that leaves its input alone.
    used = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert len(used) == len(set(used))
    functions = {n.target for n in traced.graph.nodes if n.op in ("call_function", "call_method")}
    assert {getattr(f, "__name__", f) for f in functions} <= {"add", "cat"}
    assert not any(module.inplace for module in model.modules() if isinstance(module, nn.ReLU))

    other = small(name, seed=1).eval()
    assert not torch.equal(other(x), expected)
    other.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(other(x), expected)


@pytest.mark.parametrize(
    "model",
    [small("small_resnet"), small("vgg16"), DenseLayer(3, 2, True, "batch")],
    ids=lambda m: type(m).__name__,
)
def test_a_model_compiles_to_one_graph(model):
    x = torch.rand(2, 3, 16, 16)
    expected = model(x)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), expected)


@pytest.mark.parametrize("name", SMALL)
def test_the_seed_alone_fixes_the_weights(name):
    torch.manual_seed(5)
    first = small(name, seed=3).state_dict()
    torch.manual_seed(6)
    before = torch.get_rng_state()
    with torch.device("meta"):
        second = small(name, seed=3).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    third = small(name, seed=4).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], third[key]) for key in first)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_initialisation(norm):
    model = models.build("resnet18", classes=100, norm=norm)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach()
            expected = (2 / (weight.shape[0] * weight[0, 0].numel())) ** 0.5
            tolerance = 5 / (2 * weight.numel()) ** 0.5
            assert float(weight.std()) / expected == pytest.approx(1, abs=tolerance)
            assert abs(float(weight.mean())) < 5 * expected / weight.numel() ** 0.5
            assert (module.bias is None) == (norm != "none")
            assert module.bias is None or not module.bias.any()
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()
    bound = 512**-0.5
    assert 0.9 * bound < float(model.linear.weight.detach().abs().max()) <= bound


def test_a_residual_block_whose_residual_is_zero_passes_its_input():
    block = BasicBlock(4, 4, 1, "batch")
    nn.init.zeros_(block.norm2.weight)
    x = torch.rand(3, 4, 5, 5)
    assert torch.equal(block(x), x)
    assert (BasicBlock(4, 6, 1, "batch").shortcut[0].stride) == (1, 1)
    assert BasicBlock(4, 4, 2, "none")(x).shape == (3, 4, 3, 3)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_dense_layer_appends_to_its_input(bottleneck):
    x = torch.randn(2, 5, 6, 6)
    output = DenseLayer(5, 3, bottleneck, "batch")(x)
    assert output.shape == (2, 8, 6, 6)
    assert torch.equal(output[:, :5], x)


def test_dense_networks_keep_two_copies_of_each_layers_input():
    model = models.densenet100(growth=4)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(torch.rand(2, 3, 16, 16)).sum()
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    numbers = sum(kept[storage].numel() for storage in kept.keys() - parameters)
    inputs = sum(
        2 * (16 / 2**stage) ** 2 * (16 + 128 * stage + 4 * layer)
        for stage in range(3)
        for layer in range(33)
    )
    assert inputs < numbers < 2.2 * inputs
    loss.backward()


def test_batch_normalisation_takes_out_the_biases_of_vgg():
    model = models.build("vgg16", classes=3)
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        before = model(x)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.bias.normal_()
        torch.testing.assert_close(model(x), before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("channels", "groups"), [(64, 4), (28, 2), (16, 1), (5, 1), (76, 19)])
def test_groups_have_at_most_16_channels(channels, groups):
    assert normalization("group", channels).num_groups == groups


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_the_small_network_learns_digits(norm):
    digits = data.load("digits", train=64)
    x, y = digits.normalise(digits.x_train), digits.y_train
    model = models.build("small_resnet", classes=10, norm=norm, blocks=2, widths=(8, 16))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: models.build("resnet50", 10), ValueError, "resnet50.*choose from small_resnet"),
        (lambda: models.build("resnet18", 10, depth=3), TypeError, "depth"),
        (lambda: models.build("resnet18", 0), ValueError, "classes must be at least 1, got 0"),
        (lambda: models.build("resnet18", 10, seed=-1), ValueError, "seed must be at least 0"),
        (lambda: models.resnet18(width=0), ValueError, "width must be at least 1"),
        (lambda: models.resnet18(width=6.5), TypeError, "width must be an integer"),
        (lambda: models.resnet18(channels=0), ValueError, "channels must be at least 1"),
        (lambda: models.resnet18(norm="layer"), ValueError, "batch, group, none, got 'layer'"),
        (lambda: models.small_resnet(widths=()), ValueError, "at least one stage"),
        (lambda: models.small_resnet(widths=(4, -1)), ValueError, "widths must be at least 1"),
        (lambda: models.small_resnet(blocks=0), ValueError, "blocks must be at least 1"),
        (lambda: models.densenet100(growth=0), ValueError, "growth must be at least 1"),
        (lambda: models.vgg16(norm=None), ValueError, "norm must be one of"),
        (lambda: models.vgg16(channels=0), ValueError, "channels must be at least 1"),
        (lambda: models.stages(nn.Linear(2, 2)), ValueError, "Linear has no stages"),
    ],
)
def test_what_is_wrong_is_said(call, error, message):
    with pytest.raises(error, match=message):
        call()
