import json
import subprocess
import sys
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from largestep.deep import models
from largestep.deep.compaction import CompactionReport, compact
from largestep.deep.compaction.export import definition, export_onnx, save
from largestep.figures.compaction import draw_compaction

pytestmark = pytest.mark.filterwarnings("ignore:the held-out data are the calibration data")
DIGITS = 1e-12


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=40, channels=1, size=8, seed=0):
    return torch.randn(n, channels, size, size, generator=generator(seed), dtype=torch.float64)


def shaken(model, seed=0):
    """Return the model in float64 and evaluation mode, normalisations unlike at the start."""
    draw = generator(seed)
    for module in model.double().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=draw)
            module.running_var.uniform_(0.5, 2, generator=draw)
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=draw)
            nn.init.normal_(module.bias, 0.6, 0.2, generator=draw)
    return model.eval()


def largest_difference(first, second, x):
    with torch.no_grad():
        return float((first(x) - second(x)).abs().max())


def checked(model, x, held_out=None, exact=True, **settings):
    """Compact, see that nothing but the promised has happened, and return report by layer."""
    before = deepcopy(model.state_dict())
    held_out = x if held_out is None else held_out
    smaller, report = compact(model, [x], held_out=[held_out], **settings)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    difference = largest_difference(model, smaller, held_out)
    assert difference == pytest.approx(report.held_out.largest, rel=1e-6, abs=1e-15)
    if exact:
        scale = float(model(x).detach().abs().max())
        assert largest_difference(model, smaller, x) <= DIGITS * scale
    for layer in report.layers:
        gone = layer.dead + layer.merged + layer.constant + layer.unread
        assert layer.before == gone + layer.after
    assert report.parameters_after == sum(p.numel() for p in smaller.parameters())
    return smaller, {layer.name: layer for layer in report.layers}, report


def plant_dead(rows, unit, norm=None):
    """Make a unit's pre-activation −50 whatever the input."""
    last = rows if norm is None else norm
    with torch.no_grad():
        last.weight[unit] = 0
        last.bias[unit] = -50


def plant_copy(rows, unit, of, scale, norm=None):
    """Make a unit's pre-activation `scale` times another's."""
    with torch.no_grad():
        for name in ("weight", "bias") if norm is None else ("weight",):
            getattr(rows, name)[unit] = getattr(rows, name)[of]
        if norm is None:
            rows.weight[unit] *= scale
            rows.bias[unit] *= scale
            return
        for name in ("running_mean", "running_var", "weight", "bias"):
            getattr(norm, name)[unit] = getattr(norm, name)[of]
        norm.weight[unit] *= scale
        norm.bias[unit] *= scale


def dead_channels(model, name, x):
    seen = []
    hook = model.get_submodule(name).register_forward_hook(lambda *got: seen.append(got[2]))
    with torch.no_grad():
        model(x)
    hook.remove()
    return int((seen[0] == 0).all(dim=0).flatten(1).all(dim=1).sum())


def plant_constant(rows, unit, value):
    with torch.no_grad():
        rows.weight[unit] = 0
        rows.bias[unit] = value


def mlp(widths=(5, 12, 10, 3), seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        # Nothing but what is planted is dead.
        for layer in layers[:-1]:
            nn.init.constant_(layer.bias, 0.3)
    chain = [part for layer in layers[:-1] for part in (layer, nn.ReLU())]
    return nn.Sequential(*chain, layers[-1]).double().eval()


def vectors(n=60, d=5, seed=0):
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def counts(layer):
    return (layer.dead, layer.merged, layer.constant)


def test_what_is_planted_in_a_perceptron_goes_and_no_more():
    model = mlp()
    plant_dead(model[0], 2)
    plant_copy(model[0], 7, of=4, scale=3.0)
    plant_copy(model[0], 9, of=4, scale=0.1)
    plant_constant(model[2], 1, 0.7)
    plant_dead(model[2], 5)
    smaller, layers, report = checked(model, vectors())
    assert (counts(layers["1"]), layers["1"].after) == ((1, 2, 0), 9)
    assert (counts(layers["3"]), layers["3"].after) == ((1, 0, 1), 8)
    assert [m.weight.shape for m in smaller.children() if isinstance(m, nn.Linear)] == [
        (9, 5),
        (8, 9),
        (3, 8),
    ]
    assert report.undone == 0
    assert report.multiply_adds_after == 9 * 5 + 8 * 9 + 3 * 8


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_any_planted_structure_goes_to_rounding(data):
    widths = (4, *data.draw(st.lists(st.integers(4, 9), min_size=1, max_size=3)), 2)
    model = mlp(widths, seed=data.draw(st.integers(0, 99)))
    for index, width in enumerate(widths[1:-1]):
        rows, originals = model[2 * index], 2
        for unit in range(originals, width):
            match data.draw(st.sampled_from(["dead", "copy", "constant", "own"])):
                case "dead":
                    plant_dead(rows, unit)
                case "copy":
                    of = data.draw(st.integers(0, originals - 1))
                    plant_copy(rows, unit, of, data.draw(st.sampled_from([0.01, 1.0, 7.0])))
                case "constant":
                    plant_constant(rows, unit, data.draw(st.sampled_from([0.2, 3.0])))
    x = vectors(d=4)
    _, layers, _ = checked(model, x)
    for index in range(len(widths) - 2):
        layer, above = layers[str(2 * index + 1)], layers.get(str(2 * index + 3))
        dead, constant, classes = by_definition(model[: 2 * index + 2](x).detach().numpy())
        if layer.unread:  # all weights are drawn: only what feeds a layer that has died is unread
            assert above.after == 1
        elif layer.after == 1:  # the last unit stays, whatever it is
            assert classes <= 1
        else:
            assert (layer.dead, layer.constant) == (dead, constant)
            assert layer.merged == layer.before - dead - constant - classes


def by_definition(features):
    """Return how many units are dead, how many constant, and the rank of the others."""
    dead = (features == 0).all(axis=0)
    constant = ~dead & (np.ptp(features, axis=0) < 1e-12)
    living = features[:, ~dead & ~constant].T
    directions = []
    for unit in living:
        if all(abs(np.corrcoef(unit, other)[0, 1]) < 1 - 1e-10 for other in directions):
            directions.append(unit)
    return dead.sum(), constant.sum(), len(directions)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_inside_residual_blocks(norm):
    model = shaken(models.build("small_resnet", 10, norm=norm, widths=(16, 32), seed=3))
    x = images()
    block = model.stage2[0]
    rows, last = block.conv1, None if norm == "none" else block.norm1
    for unit in range(16, 31):
        plant_dead(rows, unit, last)
    if norm != "group":
        (rows if last is None else last).bias.data[4] = 5.0
        plant_copy(rows, 3, of=4, scale=2.0, norm=last)
    _, layers, _ = checked(model, x)
    found = layers["stage2.0.relu1"]
    dead = dead_channels(model, "stage2.0.relu1", x)
    assert dead >= 15
    assert counts(found) == (dead, int(norm != "group"), 0)
    assert found.after == 32 - dead - (norm != "group")


def test_group_norm_goes_by_whole_groups():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 3, 3), nn.Flatten()
    )
    model = shaken(model)
    with torch.no_grad():
        model[1].bias[[2, 3, 5, 0, 4]] = -50  # the group (2, 3), (4, 5) and half of (0, 1)
    smaller, layers, _ = checked(model, images())
    assert (layers["2"].dead, layers["2"].after) == (5, 3)
    norm = next(m for m in smaller.children() if isinstance(m, nn.GroupNorm))
    assert (norm.num_groups, norm.num_channels) == (2, 4)


def test_a_channel_of_a_residual_stream_goes_when_no_reader_needs_it():
    model = shaken(models.build("small_resnet", 10, widths=(8,), blocks=3, seed=1))
    x = images()
    # Dead in the sums after all blocks but one: the stream must carry it.
    blocks = list(model.stage1)
    norms = [model.stem[1], *(block.norm2 for block in blocks)]
    for norm in norms:
        plant_dead(nn.Identity(), 0, norm)
    everywhere, layers, _ = checked(model, x)
    assert all(layers[f"stage1.{i}.relu2"].dead >= 1 for i in range(3))
    assert all(layers[f"stage1.{i}.relu2"].after <= 7 for i in range(3))
    alive = deepcopy(model)
    with torch.no_grad():
        alive.stage1[1].norm2.bias[0] = 500.0
        alive.stage1[2].norm2.bias[0] = 0.0
    _, layers, _ = checked(alive, x)
    assert layers["stage1.2.relu2"].dead == 0
    assert everywhere is not None


def test_a_reader_that_needs_little_of_a_stream_gets_a_copy_of_its_part():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.relu = nn.BatchNorm2d(8), nn.ReLU()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)
            self.end = nn.Conv2d(8, 2, 1)

        def forward(self, x):
            x = torch.cat([x] * 8, dim=1)
            return self.end(x + self.conv(self.relu(self.norm(x))))

    torch.manual_seed(0)
    model = shaken(Block())
    with torch.no_grad():
        model.norm.bias[:5] = -50
    smaller, layers, _ = checked(model, images())
    assert (layers["relu"].dead, layers["relu"].after) == (5, 3)
    assert smaller.conv.in_channels == smaller.norm.num_features == 3
    assert smaller.end.in_channels == 8
    assert [type(node.target).__name__ for node in smaller.graph.nodes if node.op == "get_attr"]


def test_dense_concatenations():
    model = shaken(models.build("densenet_bc100", 10, channels=1, growth=4, seed=2))
    x = images(6, size=4)
    stage = model.stage3
    for layer in list(stage)[4:16]:
        layer.new[0].bias.data[:10] = -50
    stage[16].bias.data[:10] = -50
    for unit in range(8):
        plant_dead(nn.Identity(), unit, stage[5].new[3])
    stage[5].new[3].bias.data[10] = 1e6
    plant_copy(stage[5].new[2], 9, of=10, scale=0.5, norm=stage[5].new[3])
    _, layers, _ = checked(model, x)
    inside = layers["stage3.5.new.4"]
    assert counts(inside)[:2] == (dead_channels(model, "stage3.5.new.4", x), 1)
    # Of what is dead here, some channels stay because layers before read them.
    assert 10 <= layers["stage3.17"].dead <= dead_channels(model, "stage3.17", x)


def test_constants_are_folded_only_where_no_padding_draws_a_border():
    def network(padding, mode="zeros"):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3),
            nn.ReLU(),
            nn.Conv2d(6, 4, 3, padding=padding, padding_mode=mode, bias=False),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * (16 if padding == 0 else 36), 2),
        )
        plant_constant(model[0], 2, 0.5)
        plant_constant(model[0], 4, 1.5)
        return model.double().eval()

    for padding, mode in ((0, "zeros"), (1, "circular")):
        smaller, layers, _ = checked(network(padding, mode), images())
        assert (counts(layers["1"]), layers["1"].after) == ((0, 0, 2), 4)
        assert smaller.layer_2.bias is not None
    _, layers, _ = checked(network(1), images())
    # Two constants are multiples of each other all the same.
    assert (counts(layers["1"]), layers["1"].after) == ((0, 1, 0), 5)


def test_depthwise_convolutions_and_pooling():
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU6(), nn.MaxPool2d(2, 1)),
        *(nn.Conv2d(6, 12, 3, groups=6, padding=1), nn.BatchNorm2d(12), nn.ReLU()),
        *(nn.Conv2d(12, 5, 1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(20, 3)),
    )
    model = shaken(model)
    for unit in (4, 5, 8):
        plant_dead(nn.Identity(), unit, model[5])
    smaller, layers, _ = checked(model, images())
    # Both that come from channel 2 go; of the two from channel 4 only one is dead, and both stay.
    assert (layers["6"].dead, layers["6"].after) == (2, 10)
    assert (smaller.layer_0.out_channels, smaller.layer_4.groups) == (5, 5)
    assert smaller.layer_4.weight.shape[0] == 10


def test_operations_that_mix_channels_keep_them_all():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 3)
            self.grouped = nn.Conv2d(8, 8, 3, groups=2)
            self.end = nn.Linear(8, 3)

        def forward(self, x):
            x = functional.relu(self.conv(x))
            x = torch.relu(self.grouped(x).softmax(dim=1) - 0.1).mean((2, 3))
            return self.end(x.view(x.size(0), -1)[:, torch.arange(8)])

    torch.manual_seed(0)
    model = Odd().double().eval()
    plant_dead(model.conv, 0)
    smaller, layers, _ = checked(model, images())
    assert smaller.conv.out_channels == 8
    assert all(layer.after == layer.before for layer in layers.values())


def test_functions_and_views_are_understood():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3)
            self.end = nn.Linear(6 * 4, 3)

        def forward(self, x):
            x = functional.relu(self.conv1(x))
            x = functional.max_pool2d(functional.relu(self.conv2(x)) * 2, 2)
            return self.end(x.view(x.shape[0], -1))

    torch.manual_seed(0)
    model = Functional().double().eval()
    plant_dead(model.conv1, 0)
    plant_dead(model.conv2, 1)
    smaller, _, _ = checked(model, images())
    assert (smaller.conv1.out_channels, smaller.conv2.out_channels) == (5, 5)
    assert smaller.end.in_features == 20


def test_operations_in_place_and_one_relu_called_often():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv1d(2, 8, 3, padding=1)
            self.norm = nn.BatchNorm1d(8)
            self.conv1 = nn.Conv1d(8, 8, 3, padding=1)
            self.conv2 = nn.Conv1d(8, 8, 3, padding=1)
            self.relu = nn.ReLU(inplace=True)
            self.end = nn.Linear(8, 3)

        def forward(self, x):
            x = self.relu(self.norm(self.stem(x)))
            y = self.conv2(self.relu(self.conv1(x)))
            y += x
            x = self.relu(y)
            return self.end(x.mean(-1))

    torch.manual_seed(0)
    model = InPlace().double().eval()
    for unit in (0, 3):
        plant_dead(nn.Identity(), unit, model.norm)
        plant_dead(model.conv2, unit)
    plant_dead(model.conv1, 5)
    x = torch.randn(20, 2, 9, generator=generator(), dtype=torch.float64)
    smaller, _, _ = checked(model, x)
    assert smaller.end.in_features <= 6
    assert (smaller.stem.out_channels, smaller.conv1.out_channels) == (6, 7)


def test_a_parameter_as_a_scale_of_channels():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 2, 3)
            self.scale = nn.Parameter(torch.rand(1, 6, 1, 1) + 0.5)

        def forward(self, x):
            return self.conv2(torch.relu(self.conv1(x)) * self.scale)

    torch.manual_seed(0)
    model = Scaled().double().eval()
    for unit in (1, 2):
        plant_dead(model.conv1, unit)
    smaller, _, _ = checked(model, images())
    assert smaller.conv1.out_channels == smaller.conv2.in_channels == 4
    assert "torch.empty((1, 6, 1, 1)" in definition(smaller, images())


def test_the_features_are_looked_at_in_parts(monkeypatch):
    model = mlp()
    plant_copy(model[0], 7, of=4, scale=3.0)
    monkeypatch.setattr("largestep.deep.compaction.units._ELEMENTS", 50)
    assert counts(checked(model, vectors())[1]["1"]) == (0, 1, 0)


def test_a_model_that_is_random_is_refused():
    class Random(nn.Linear):
        def forward(self, x):
            return super().forward(functional.dropout(x))

    with pytest.raises(ValueError, match="does not compute what the model does"):
        compact(Random(5, 3).double().eval(), vectors(), held_out=vectors())


def test_shared_weights_are_left_alone():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again = nn.Linear(5, 8), nn.Linear(8, 8)
            self.third, self.tied = nn.Linear(8, 8), nn.Linear(8, 8)
            self.tied.weight = self.third.weight
            self.end = nn.Linear(8, 2)

        def forward(self, x):
            x = torch.relu(self.first(x))
            x = torch.relu(self.again(torch.relu(self.again(x))))
            return self.end(torch.relu(self.tied(torch.relu(self.third(x)))))

    torch.manual_seed(0)
    model = Shared().double().eval()
    plant_dead(model.first, 0)
    plant_dead(model.again, 1)
    smaller, _, _ = checked(model, vectors())
    assert smaller.again.weight.shape == smaller.third.weight.shape == (8, 8)
    assert smaller.end.in_features <= 8


def test_units_that_feed_only_dead_ones_go_too():
    model = mlp()
    with torch.no_grad():
        model[2].weight[1:, 3] = 0  # unit 3 of the first layer feeds unit 0 of the second alone
    plant_dead(model[2], 0)
    _, layers, _ = checked(model, vectors())
    assert (layers["1"].unread, layers["1"].after) == (1, 11)


def test_a_layer_that_is_all_dead_keeps_one_unit():
    model = mlp()
    for unit in range(10):
        plant_dead(model[2], unit)
    smaller, layers, _ = checked(model, vectors())
    assert [layer.after for layer in layers.values()] == [1, 1]
    assert smaller.layer_2.weight.shape == (1, 1)


def test_a_unit_that_fires_on_held_out_data_is_put_back():
    model = mlp()
    plant_dead(model[0], 2)
    with torch.no_grad():
        model[0].weight[6] = 0
        model[0].weight[6, 0] = 1.0
        model[0].bias[6] = -10.0
    x, other = vectors(), vectors(seed=1)
    other[3, 0] = 11.0
    _, layers, report = checked(model, x, held_out=other)
    assert (layers["1"].dead, report.undone) == (1, 1)
    assert report.held_out.largest <= report.rounding * report.scale
    _, layers, report = checked(model, x, held_out=other, tolerance=1.0)
    assert (layers["1"].dead, report.undone) == (2, 0)
    assert 1e-3 * report.scale < report.held_out.largest <= report.scale
    assert report.calibration.largest < 1e-13


@given(st.integers(0, 30), st.sampled_from([0.0, 1e-3, 1e-2, 1e-1]))
@settings(max_examples=12, deadline=None)
def test_the_tolerance_holds_on_held_out_data(seed, tolerance):
    model = mlp((5, 16, 14, 3), seed=seed)
    with torch.no_grad():
        for unit in range(8, 14):
            plant_copy(model[0], unit, of=unit - 8, scale=1.5)
            model[0].weight[unit] += 0.05 * vectors(14, seed=seed)[unit]
            model[2].bias[unit] -= 1.5
    _, _, report = checked(
        model,
        vectors(40, seed=seed),
        held_out=vectors(40, seed=seed + 1000),
        exact=False,
        tolerance=tolerance,
        correlation_threshold=0.9,
    )
    assert report.held_out.largest <= (tolerance + report.rounding) * report.scale


def test_near_duplicates_hand_their_weights_on_by_least_squares():
    model, x = mlp((5, 12, 3)), vectors(400)
    with torch.no_grad():
        plant_copy(model[0], 7, of=4, scale=1.1)
        model[0].weight[7] += 0.02 * vectors(12)[7]
    smaller, layers, report = checked(
        model, x, exact=False, tolerance=1.0, correlation_threshold=0.99
    )
    assert counts(layers["1"]) == (0, 1, 0)
    # The best that any outgoing weights of the eleven units that are left can do.
    features = model[:2](x).detach().numpy()
    kept = smaller.layer_1(smaller.layer_0(x)).detach().numpy()
    design = np.hstack([kept, np.ones((400, 1))])
    wanted = model(x).detach().numpy()
    best = design @ np.linalg.lstsq(design, wanted, rcond=None)[0]
    assert features.shape[1] == kept.shape[1] + 1
    np.testing.assert_allclose(smaller(x).detach().numpy(), best, atol=1e-6)
    assert report.held_out.largest > 1e-6


def test_a_threshold_below_one_is_needed_for_near_duplicates():
    model = mlp((5, 12, 3))
    with torch.no_grad():
        plant_copy(model[0], 7, of=4, scale=1.1)
        model[0].weight[7] *= 1 + 1e-9 * vectors(1)[0]
    assert counts(checked(model, vectors())[1]["1"]) == (0, 0, 0)


def test_single_precision_and_accuracy():
    model = mlp().float()
    plant_dead(model[0], 2)
    plant_copy(model[0], 7, of=4, scale=3.0)
    x, labels = vectors().float(), torch.arange(60) % 3
    smaller, report = compact(
        model,
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, labels), 16, shuffle=True),
        held_out=[(x[:30], labels[:30]), (x[30:], labels[30:])],
    )
    assert counts(report.layers[0]) == (1, 1, 0)
    assert smaller.layer_0.weight.dtype == torch.float32
    right = (model(x).argmax(1) == labels).double().mean()
    assert report.accuracy_before == report.accuracy_after == pytest.approx(float(right))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_compacted_in_single(dtype):
    model = mlp((5, 40, 40, 10)).to(dtype)
    plant_dead(model[0], 2)
    plant_copy(model[0], 7, of=4, scale=2.0)
    x = vectors(200).float()  # in another precision than the model, as images often are
    smaller, report = compact(model, x[::2], held_out=x[1::2])
    layers = {layer.name: layer for layer in report.layers}
    assert (counts(layers["1"]), layers["3"].after) == ((1, 1, 0), 40)
    assert report.held_out.largest <= 3.1e-5 * report.scale
    assert (report.precision, report.returned_in) == ("float32", str(dtype).partition(".")[2])
    assert report.as_returned.largest < 0.05 * report.scale
    assert "whose rounding comes on top" in str(report)
    found, expected = (m(x.to(dtype)).argmax(1) for m in (smaller, model))
    assert (found == expected).double().mean() > 0.95


def test_precisions_that_would_hide_what_changes_are_refused():
    class Cast(nn.Linear):
        def forward(self, x):
            return super().forward(x).bfloat16()

    with pytest.raises(ValueError, match="outputs in single precision, got bfloat16"):
        compact(Cast(5, 3).eval(), vectors().float(), held_out=vectors().float())
    model = mlp().float()
    model[0].half()
    with pytest.raises(ValueError, match="one precision, got float16, float32"):
        compact(model, vectors(), held_out=vectors())


def test_held_out_data_that_are_the_calibration_data_are_remarked_on():
    x = vectors()
    with pytest.warns(UserWarning, match="says nothing about any others"):
        compact(mlp(), x.split(7), held_out=x)


def test_autocast_of_the_caller_does_not_hide_what_changes():
    model = mlp().float()
    with torch.autocast("cpu", torch.bfloat16):
        _, report = compact(model, vectors(), held_out=vectors())
    assert report.rounding < 1e-4
    assert [layer.after for layer in report.layers] == [12, 10]


def test_random_state_is_untouched():
    model, x = mlp(), vectors()
    before = torch.random.get_rng_state()
    compact(model, torch.utils.data.DataLoader(x, 16, shuffle=True), held_out=x)
    assert torch.equal(before, torch.random.get_rng_state())
    own = torch.Generator().manual_seed(0)
    before = own.get_state()
    compact(model, torch.utils.data.DataLoader(x, 16, shuffle=True, generator=own), held_out=x)
    assert torch.equal(before, own.get_state())


def test_the_report_is_json_and_a_table():
    model = mlp()
    plant_dead(model[0], 2)
    report = checked(model, vectors())[2]
    read = json.loads(json.dumps(report.to_dict()))
    assert read["layers"][0]["dead"] == 1
    assert read["held_out"]["largest"] == report.held_out.largest
    text = str(report)
    for part in ("multiply-adds", "held-out", "undone", "latency", "before"):
        assert part in text
    assert "accuracy" not in text
    assert isinstance(report, CompactionReport)
    assert len(draw_compaction(read).axes[0].patches) == 5 * len(read["layers"])


@pytest.fixture(scope="module")
def compacted():
    model = shaken(models.build("small_resnet", 10, widths=(8, 16), seed=1)).float()
    for block in (model.stage1[0], model.stage2[0]):
        block.norm1.bias.data[:3] = -50
    x = images().float()
    return compact(model, [x], held_out=[x])[0], x


def test_what_is_saved_loads_without_largestep(compacted, tmp_path):
    model, x = compacted
    save(model, tmp_path, x)
    torch.save({"x": x, "y": model(x).detach()}, tmp_path / "expected.pt")
    script = """
import sys, torch
sys.modules["largestep"] = None
from safetensors.torch import load_file
from model import Model
model = Model()
model.load_state_dict(load_file("model.safetensors"))
expected = torch.load("expected.pt", weights_only=True)
assert torch.equal(model.eval()(expected["x"]), expected["y"])
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120)


def test_the_definition_leaves_defaults_out(compacted):
    model, x = compacted
    text = definition(model, x)
    assert "self.stage1_0_conv1 = nn.Conv2d(8, 5, 3, padding=1, bias=False)" in text
    assert "nn.BatchNorm2d(5)\n" in text
    assert "None" not in text.replace("-> None", "")


def test_modules_that_are_not_plain_cannot_be_defined(compacted, tmp_path):
    class Own(nn.ReLU):
        pass

    model = torch.fx.GraphModule(compacted[0], compacted[0].graph)
    model.stem_2 = Own()
    with pytest.raises(ValueError, match="stem_2 is a Own, not a plain"):
        save(model, tmp_path, compacted[1])
    with pytest.raises(TypeError, match=r"must come from deep\.compact"):
        save(nn.Linear(2, 2), tmp_path, compacted[1])


def test_onnx_gives_the_same(compacted, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, x = compacted
    export_onnx(model, tmp_path / "model.onnx", x)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for n in (1, 3, 40):
        found = session.run(None, {session.get_inputs()[0].name: x[:n].numpy()})[0]
        np.testing.assert_allclose(found, model(x[:n]).detach().numpy(), atol=1e-5)


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, x):
        if x.sum() > 0:
            return self.linear(x)
        return -self.linear(x)


class Two(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


class Class(nn.Module):
    def forward(self, x):
        return x.argmax(1)


def test_a_model_that_cannot_be_traced_names_the_line():
    with pytest.raises(ValueError, match=r"test_compaction.py:\d+ \(if x.sum\(\) > 0:\)"):
        compact(Branching().double().eval(), vectors(), held_out=vectors())


def diverged():
    model = mlp()
    model[2].weight.data[0, 0] = torch.nan
    return model


@pytest.mark.parametrize(
    ("model", "arguments", "error", "message"),
    [
        (mlp().train(), {}, ValueError, r"call model.eval\(\) first \(the model is"),
        (nn.Sequential(mlp(), nn.Dropout()).eval().requires_grad_(False), {}, None, ""),
        (torch.relu, {}, TypeError, "torch.nn.Module, got builtin"),
        (mlp(), {"calibration": vectors(d=4)}, ValueError, r"inputs of shape \(60, 4\)"),
        (mlp(), {"calibration": vectors().float()}, None, ""),
        (mlp(), {"held_out": vectors(d=4)}, ValueError, "held_out: the model does not take"),
        (mlp(), {"held_out": []}, ValueError, "held_out must have at least one batch"),
        (mlp(), {"held_out": [3]}, TypeError, "batch 0 is int"),
        (mlp(), {"held_out": 3}, TypeError, "held_out must be batches"),
        (
            mlp(),
            {"calibration": (vectors(), torch.arange(60))},
            TypeError,
            r"calibration must be batches, got inputs and targets of shapes \(60, 5\) and \(60,\)",
        ),
        (
            mlp(),
            {"held_out": torch.utils.data.TensorDataset(vectors())},
            TypeError,
            r"data set of single examples \(TensorDataset\): wrap it in a DataLoader",
        ),
        (mlp(), {"held_out": [torch.ones(3)]}, ValueError, r"got shape \(3,\)"),
        (
            mlp(),
            {"held_out": [(vectors(), torch.zeros(60, 2, dtype=torch.int64))]},
            ValueError,
            "one class for each output",
        ),
        (mlp(), {"tolerance": -1.0}, ValueError, "tolerance"),
        (mlp(), {"correlation_threshold": 0.0}, ValueError, "correlation_threshold"),
        (diverged(), {}, ValueError, "not finite"),
        (Two(5, 3).double().eval(), {}, None, ""),
        (
            nn.Sequential(nn.Linear(5, 3), Class()).double().eval(),
            {},
            ValueError,
            "real numbers, got",
        ),
    ],
)
def test_bad_input_is_refused(model, arguments, error, message):
    arguments = {"calibration": vectors(), "held_out": vectors(), **arguments}
    calibration = arguments.pop("calibration")
    if error is None:
        compact(model, calibration, **arguments)
        return
    with pytest.raises(error, match=message):
        compact(model, calibration, **arguments)


def test_a_part_in_training_mode_is_named():
    model = shaken(models.build("small_resnet", 10))
    model.stage2[0].norm1.train()
    with pytest.raises(ValueError, match=r"stage2.0.norm1 is in training mode"):
        compact(model, images(), held_out=images())


def test_data_of_the_wrong_shape_are_one_line():
    with pytest.raises(ValueError, match=r"inputs of shape \(60, 4\)") as raised:
        compact(mlp(), vectors(d=4), held_out=vectors(d=4))
    assert "\n" not in str(raised.value)
