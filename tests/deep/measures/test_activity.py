"""How often units are active, by hand and in a transformer."""

import numpy as np
import pytest
import torch
from torch import nn

from largestep.deep import Probe
from largestep.deep.measures import Activity


def test_the_deciles_the_always_active_and_the_size():
    # Unit k of eleven is active at k of ten inputs.
    features = torch.tensor([[1.0 if i < k else -1.0 for k in range(11)] for i in range(10)])
    found = Probe(nn.Sequential(nn.ReLU()), features, measures=[Activity()]).measure()
    deciles = [float(found[name][0]) for name in ("activity_low", "activity_median")]
    assert [*deciles, float(found.activity_high[0])] == pytest.approx([0.1, 0.5, 0.9])
    assert float(found.always_active[0]) == pytest.approx(1 / 11)
    assert float(found.activation_size[0]) == pytest.approx(0.5**0.5)


def test_smooth_units_are_active_above_a_share_of_their_layer():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.GELU())
    loose, strict = (
        Probe(model, x, measures=[Activity(threshold)]).measure().activity_median
        for threshold in (0.0, 0.5)
    )
    assert float(strict[0]) < float(loose[0])


def test_layers_that_are_not_finite_are_nan_and_their_size_is_not():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    probe = Probe(model, torch.ones(5, 3), measures=[Activity()], every=1)
    with torch.no_grad():
        model[0].weight.fill_(torch.inf)
    probe.step()
    last = probe.dataset().isel(step=-1, layer=0)
    assert np.isnan(last.activity_median)
    assert float(last.activation_size) == np.inf


def test_of_a_transformer_each_token_is_a_row():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    x = torch.randn(6, 5, 8)
    probe = Probe(model, x, measures=[Activity()], units="channel")
    found = probe.measure()
    assert found.sizes["layer"] == 2
    first = model.layers[0]
    hidden = []
    handle = first.linear1.register_forward_hook(lambda *seen: hidden.append(seen[-1]))
    with torch.no_grad():
        model.train()(x)
    handle.remove()
    shares = (hidden[0].flatten(0, 1) > 0).double().mean(0).numpy()
    expected = np.quantile(shares, [0.1, 0.5, 0.9])
    measured = [found[f"activity_{part}"][0] for part in ("low", "median", "high")]
    np.testing.assert_allclose(measured, expected, atol=1e-6)
