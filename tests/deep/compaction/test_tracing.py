"""Compaction of models whose channels lie elsewhere than second, or that torch.fx cannot trace."""

import runpy

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from largestep.deep.compaction import compact
from largestep.deep.compaction.export import save


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def checked(model, x, held_out, **settings):
    smaller, report = compact(model.eval(), [x], held_out=[held_out], **settings)
    assert report.held_out.largest <= 3.1e-5 * report.scale
    return smaller, {layer.name: layer for layer in report.layers}, report


def plant_dead(rows, *units):
    with torch.no_grad():
        rows.weight[list(units)] = 0
        rows.bias[list(units)] = -1


class TokenMLP(nn.Module):
    """A linear layer on any number of leading dimensions, read where tokens are mixed elsewhere."""

    def __init__(self, branching=False):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 16), nn.Linear(16, 6)
        self.mix, self.branching = nn.Linear(5, 5), branching

    def forward(self, x):
        if self.branching and x.shape[0] > 100000:
            return x
        x = x + self.mix(x.transpose(-1, -2)).transpose(-1, -2)
        return x + self.down(functional.relu(self.up(self.norm(x))))


@pytest.mark.parametrize("branching", [False, True])
@pytest.mark.parametrize("leading", [(), (3,)])
def test_linear_layers_on_tokens(branching, leading):
    model = TokenMLP(branching)
    plant_dead(model.up, 1, 2, 9)
    with torch.no_grad():  # unit 4 is twice unit 3, unit 5 constant
        model.up.weight[4], model.up.bias[4] = 2 * model.up.weight[3], 2 * model.up.bias[3]
        model.up.weight[5], model.up.bias[5] = 0, 0.5
    shape = (8, *leading, 5, 6)
    _, layers, report = checked(model, drawn(*shape), drawn(*shape, seed=1))
    (layer,) = (found for found in layers.values() if found.before == 16)
    assert (layer.dead, layer.merged, layer.constant, layer.after) == (3, 1, 1, 11)
    own = sum(p.numel() for m in (model.up, model.down) for p in m.parameters())
    assert report.coverage == pytest.approx(own / report.parameters_before)
    assert sum(report.passed_over.values()) + report.coverage == pytest.approx(1)
    assert any("LayerNorm" in why for why in report.passed_over) or branching


class Gated(nn.Module):
    """A gated MLP on tokens, its inputs and outputs in dictionaries."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.gate, self.up = nn.Linear(6, 16), nn.Linear(6, 16)
        self.down = nn.Linear(16, 3)

    def forward(self, x, mask=None, scale=1.0):
        hidden = functional.relu(self.gate(x)) * self.up(x)
        if mask is not None:
            hidden = hidden * mask[:, :, None]
        y = self.down(hidden.reshape(-1, 16)).view(*x.shape[:2], 3)
        return {"scores": y.mean(1) * scale, "tokens": (y, None)}


def test_dictionaries_gates_and_masks(tmp_path):
    model = Gated()
    plant_dead(model.gate, 0, 7)

    def batch(seed):
        return {"x": drawn(8, 5, 6, seed=seed), "mask": torch.ones(8, 5), "labels": None}

    held = {k: v for k, v in batch(1).items() if v is not None}
    given = {k: v for k, v in batch(0).items() if v is not None}
    smaller, layers, report = checked(model, given, held)
    assert (
        (smaller.gate.out_features, smaller.up.out_features) == (14, 14)
        if hasattr(smaller, "gate")
        else True
    )
    assert [layer.after for layer in layers.values()] == [14]
    assert report.coverage == 1.0
    found = smaller(**held)
    assert set(found) == {"scores", "tokens"}
    torch.testing.assert_close(found["tokens"][0], model(**held)["tokens"][0])
    assert smaller(**{k: v[:3] for k, v in held.items()})["scores"].shape == (3, 3)
    save(smaller, tmp_path, held)
    read = runpy.run_path(str(tmp_path / "model.py"))["Model"]()
    read.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(read.eval()(held["x"], held["mask"])[0], found["scores"])


@pytest.mark.parametrize("branching", [False, True])
def test_transposed_convolutions(branching):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(2, 8, 3), nn.ConvTranspose2d(8, 6, 4, 2, 1)
            self.third = nn.ConvTranspose2d(6, 2, 1)

        def forward(self, x):
            if branching and x.shape[0] > 100000:
                return x
            return self.third(functional.relu(self.second(functional.relu(self.first(x)))))

    model = Decoder()
    plant_dead(model.first, 1, 2)
    with torch.no_grad():
        model.second.weight[:, [0, 3]] = 0
        model.second.bias[[0, 3]] = torch.tensor([-1.0, 2.0])  # dead, and constant
        model.first.weight[5], model.first.bias[5] = (
            3 * model.first.weight[4],
            3 * model.first.bias[4],
        )
    smaller, layers, report = checked(model, drawn(6, 2, 7, 7), drawn(6, 2, 7, 7, seed=1))
    first, second = layers.values()
    assert (first.dead, first.merged, first.after) == (2, 1, 5)
    assert (second.dead, second.constant, second.after) == (1, 1, 4)
    assert report.coverage == 1.0
    assert [tuple(p.shape) for p in smaller.parameters() if p.ndim == 4] == [
        (5, 2, 3, 3),
        (5, 4, 4, 4),
        (4, 2, 1, 1),
    ]


class ConvNext(nn.Module):
    """Channels second for convolutions, last for linear layers, and scaled."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.depthwise = nn.Conv2d(3, 8, 2, 2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(24, 8)
        self.scale = nn.Parameter(torch.rand(8) + 0.5)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.down(functional.gelu(self.up(y))) * self.scale
        return self.head((x + y.permute(0, 3, 1, 2)).mean((2, 3)))


def test_channels_that_move():
    model = ConvNext()
    with torch.no_grad():
        model.up.weight[[0, 5]] = 0
        model.up.bias[[0, 5]] = 0  # GELU of zero is zero
    _, layers, report = checked(model, drawn(6, 3, 8, 8), drawn(6, 3, 8, 8, seed=1))
    (layer,) = (found for found in layers.values() if found.before == 24)
    assert (layer.dead, layer.after) == (2, 22)
    # The stream goes through a layer norm, but its reader at the end may need less of it.
    assert 0.6 < report.coverage < 1.0


def test_a_residual_stream_of_tokens_goes_when_no_reader_needs_it():
    class Stream(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 12), nn.Linear(12, 8)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = self.embed(x)
            x = x + self.down(functional.relu(self.up(x)))
            return self.head(x)[:, 0]

    model = Stream()
    with torch.no_grad():
        for rows in (model.embed, model.down):
            rows.weight[[2, 6]], rows.bias[[2, 6]] = 0, 0
    smaller, _, report = checked(model, drawn(6, 5, 4), drawn(6, 5, 4, seed=1))
    assert smaller.head.in_features == smaller.down.out_features == 6
    assert report.coverage == 1.0


def test_a_model_whose_outputs_change_from_call_to_call_is_refused():
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * self.calls

    with pytest.raises(ValueError, match="does not compute what the model does"):
        compact(Counting(5, 3).eval(), drawn(8, 5), held_out=drawn(8, 5, seed=1))
