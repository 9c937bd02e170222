import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from largestep.deep import models

CLASSES, CONTEXT, WIDTH, HEADS = 7, 9, 12, 3


def small(seed=0, **settings):
    chosen = {"context": CONTEXT, "width": WIDTH, "depth": 2, "heads": HEADS} | settings
    return models.build("transformer", CLASSES, seed, **chosen).eval()


def tokens(n=4, length=CONTEXT, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, CLASSES, (n, length)))


def grown(model, factor=30.0):
    """Return a model of large weights, at which attention is hard and normalisation matters."""
    with torch.no_grad():
        for block in (model.stage1, model.stage2):
            block.attention.queries_keys_values.weight *= factor
    return model


@pytest.mark.parametrize("qk_norm", [False, True])
def test_what_comes_later_changes_not_a_bit_before_it(qk_norm):
    model, x = grown(small(qk_norm=qk_norm)), tokens()
    before = model(x)
    for t in range(CONTEXT):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % CLASSES
        after = model(changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert not torch.equal(after[:, t], before[:, t])


def test_it_is_what_its_formula_says():
    model, x = grown(small(depth=2)), tokens(n=1)
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}

    def norm(h, name):
        h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
        return h * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(h, name):
        return h @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    h = state["embedding.tokens.weight"][x[0]] + state["embedding.positions"]
    for stage in ("stage1", "stage2"):
        mixed = linear(norm(h, f"{stage}.norm1"), f"{stage}.attention.queries_keys_values")
        queries, keys, values = np.split(mixed, 3, axis=1)
        gathered = np.zeros_like(h)
        size = WIDTH // HEADS
        for head in range(HEADS):
            own = slice(head * size, (head + 1) * size)
            for t in range(CONTEXT):
                weights = np.exp(queries[t, own] @ keys[: t + 1, own].T / np.sqrt(size))
                gathered[t, own] = weights @ values[: t + 1, own] / weights.sum()
        h = h + linear(gathered, f"{stage}.attention.out")
        units = np.maximum(linear(norm(h, f"{stage}.norm2"), f"{stage}.expand"), 0)
        h = h + linear(units, f"{stage}.contract")
    expected = linear(norm(h, "norm"), "linear")
    np.testing.assert_allclose(model(x)[0].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_at_the_start_every_token_is_about_equally_likely():
    x = tokens(50)
    loss = functional.cross_entropy(small()(x).flatten(0, 1), x.roll(1).flatten())
    assert loss.item() == pytest.approx(math.log(CLASSES), abs=0.01)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_every_parameter_learns(activation):
    # Unless keys are normalised, their bias moves all logits of a query alike.
    model = small(activation=activation, qk_norm=True)
    model(tokens()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.any(), name


def test_normalised_queries_and_keys_bound_the_logits():
    x = torch.randn(5, CONTEXT, WIDTH)
    largest = {}
    for qk_norm in (False, True):
        logits = grown(small(qk_norm=qk_norm), 1e3).stage1.attention.logits(x)
        allowed = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()
        assert bool((logits[..., ~allowed] == -math.inf).all())
        largest[qk_norm] = logits[..., allowed].abs().max().item()
    assert largest[True] <= math.sqrt(WIDTH // HEADS) * (1 + 1e-6)
    assert largest[False] > 100.0


def test_its_stages_are_the_units_of_its_blocks():
    model = small()
    assert models.stages(model) == ("stage1.units", "stage2.units")
    seen = []
    for stage in models.stages(model):
        model.get_submodule(stage).register_forward_hook(lambda *told: seen.append(told[2]))
    model(tokens())
    assert [tuple(features.shape) for features in seen] == [(4, CONTEXT, 4 * WIDTH)] * 2


def test_shorter_sequences_are_begun_alike_and_longer_ones_refused():
    model, x = small(), tokens()
    torch.testing.assert_close(model(x[:, :3]), model(x)[:, :3])
    with pytest.raises(ValueError, match="at most 9 tokens, got 10"):
        model(tokens(length=10))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"heads": 5}, "width must be a multiple of heads, 5, got 12"),
        ({"context": 0}, "context must be at least 1, got 0"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"activation": "tanh"}, "activation must be one of relu, gelu, got 'tanh'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, error):
    with pytest.raises(ValueError, match=error):
        small(**settings)
