"""The one training loop on sequences of tokens, where it is another than on images."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn import functional

from largestep.deep import data, loading, measures, models
from largestep.deep.features import gather
from largestep.deep.measures.base import Subject
from largestep.deep.training import Training, checkpoints, presets, train
from largestep.deep.training import loop as loops
from largestep.metrics import feature_sparsity
from largestep.schedules import linear

SIZES = {"width": 8, "depth": 2, "heads": 2}
SETTINGS = Training(
    "transformer",
    linear(1e-2, 1e-3),
    epochs=2,
    batch_size=8,
    model_settings=SIZES,
    optimizer="AdamW",
    optimizer_settings={"weight_decay": 0.05},
    label_noise=0.1,
    averaging=0.9,
    evaluations=4,
    examples=60,
)
STEPS = 2 * (1999 // 16 // 8)


@pytest.fixture(scope="module")
def text():
    return data.load("text", characters=2000, test_characters=700, context=16)


@pytest.fixture(scope="module")
def trained(text):
    return train(SETTINGS, text)


def test_losses_and_errors_are_means_over_tokens(trained, text):
    last = trained.results.isel(step=-1)
    assert trained.results.attrs["steps"] == STEPS
    for prefix, model in (("", trained.model), ("averaged_", trained.averaged)):
        with torch.no_grad():
            logits = model(text.x_test)
        loss = functional.cross_entropy(logits.double().flatten(0, 1), text.y_test.flatten())
        wrong = (logits.argmax(-1) != text.y_test).double().mean()
        assert float(last[f"{prefix}test_loss"]) == pytest.approx(float(loss))
        assert float(last[f"{prefix}test_error"]) == pytest.approx(float(wrong))
    first = trained.results.test_loss[0]
    assert float(first) == pytest.approx(np.log(text.classes), abs=0.05)
    assert float(last.test_loss) < float(first) - 0.3
    assert not np.isfinite([trained.results.diverged_at, trained.results.collapsed_at]).any()


def test_a_unit_is_the_same_one_at_every_position(text):
    settings = replace(SETTINGS, examples=10_000)
    found = train(settings, text)
    chosen = data.permutation(len(text.x_train), seed=0, epoch=0)
    layers = gather(found.model, [text.x_train[chosen]], models.stages(found.model))
    for name, at_positions in layers.items():
        units = at_positions.features.view(len(chosen) * 16, 32)
        expected = feature_sparsity(units)
        last = found.results.isel(step=-1).sel(layer=name)
        assert float(last.units) == 32
        for quantity in ("raw", "distinct", "dead", "merged"):
            assert float(last[quantity]) == getattr(expected, quantity)
    # No more rows are taken than examples were asked for.
    evaluated = train(replace(SETTINGS, epochs=1, evaluations=1), text).results.raw[-1]
    assert (evaluated * 60 * 32 % 1 < 1e-9).all()


def test_the_same_bits_after_a_stop_with_a_held_edge(text, tmp_path, monkeypatch):
    settings = replace(SETTINGS, step_size=presets.Edge(kappa=0.5))
    whole = train(settings, text)
    taken = 0

    def stop_at_ten(self, *_):
        nonlocal taken
        taken += 1
        if taken == 11:
            raise KeyboardInterrupt
        return inner(self)

    inner = loops.Run.take_step
    monkeypatch.setattr(loops.Run, "take_step", stop_at_ten)
    with pytest.raises(KeyboardInterrupt):
        train(settings, text, out=tmp_path / "parts", checkpoint_seconds=0)
    assert checkpoints.load(tmp_path / "parts")[1]["step"] == 10
    parts = train(settings, text, out=tmp_path / "parts", resume=True)
    xr.testing.assert_identical(whole.results, parts.results)
    assert len(np.unique(whole.results.step_size)) > 2
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, parts.model.state_dict()[name])
    # And the folder says what is in it.
    loaded = loading.load_model(str(tmp_path / "parts"))
    assert torch.equal(loaded(text.x_test[:2]), whole.model(text.x_test[:2]))
    config = json.loads((tmp_path / "parts/config.json").read_text())["configuration"]["data"]
    assert (config["context"], config["classes"]) == (16, 40)
    (inputs, labels), _ = loading.load_data(None, None, str(tmp_path / "parts"))
    assert torch.equal(inputs, text.x_train)
    assert torch.equal(labels, text.y_train)


def test_outputs_that_do_not_depend_on_the_input_are_a_collapse(text):
    results = train(replace(SETTINGS, step_size=1e3, averaging=None), text).results
    assert np.isfinite([results.diverged_at, results.collapsed_at]).any()


def test_errors_want_an_output_for_each_label(text):
    model = models.build("transformer", text.classes, context=16, **SIZES)
    subject = Subject(model, [(text.x_test, text.y_test[:, 0])], features=dict)
    with pytest.raises(TypeError, match=r"outputs of shape \(43, classes\), got \(43, 16, 40\)"):
        measures.Errors().measure(subject)


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"augment": True}, "text", "augment must be False for text.*, got True"),
        ({"augment": "crops"}, "text", "augment must be False for text.*, got 'crops'"),
        ({"model": "vgg16"}, "text", "model must be one of transformer for text.* got 'vgg16'"),
        ({}, "digits", "model must be one of small_resnet, .*vgg16 for digits, which are images"),
    ],
)
def test_what_does_not_suit_the_data_is_refused(changes, name, message, text):
    digit = torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    given = text if name == "text" else data.Dataset.of("digits", *digit, *digit, 1)
    with pytest.raises(ValueError, match=message):
        train(replace(SETTINGS, **changes), given)


def test_the_preset_is_one_for_its_own_optimizer():
    assert presets.training("transformer").optimizer == "AdamW"
    chosen = presets.training("transformer", "edge", setting="sota")
    assert chosen.optimizer_settings == {"betas": (0.9, 0.95), "weight_decay": 0.1}
    assert presets.training("transformer", "small", step_size=1e-3).step_size(0.0)[0] == 1e-3
    with pytest.raises(ValueError, match="for SGD: the preset's are those of AdamW"):
        presets.training("transformer", optimizer="SGD")
