"""The training loop against a loop written out by hand, and against itself interrupted."""

import copy
import errno
import math
import os
import signal
import socket
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file
from torch.nn import functional

from largestep import _files, store
from largestep.deep import models
from largestep.deep.data import Dataset, permutation
from largestep.deep.features import gather
from largestep.deep.training import Run, Stopped, Training, checkpoints, presets, train
from largestep.deep.training.evaluation import Evaluations
from largestep.deep.training.processes import memory_format
from largestep.deep.training.run import redraw
from largestep.metrics import feature_sparsity
from largestep.schedules import decay, linear

CLASSES = 3
SETTINGS = Training(
    "small_resnet",
    linear(0.02, 0.2),
    epochs=3,
    batch_size=8,
    model_settings={"widths": (4, 6)},
    evaluations=6,
    seed=5,
)
EVERYTHING = replace(
    SETTINGS,
    optimizer_settings={"momentum": 0.9, "weight_decay": 1e-2},
    augment=True,
    label_noise=0.3,
    averaging=0.8,
)
STEPS = 15  # five of eight examples in each of three epochs


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)

    def images(n):
        labels = torch.from_numpy(rng.integers(0, CLASSES, n))
        noise = torch.from_numpy(rng.integers(0, 128, (n, 1, 6, 6)).astype(np.uint8))
        return noise + (60 * labels[:, None, None, None]).to(torch.uint8), labels

    return Dataset.of("made up", *images(42), *images(20), CLASSES)


def bits(model):
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


def assert_same(first, second):
    assert bits(first.model) == bits(second.model)
    if first.averaged is not None:
        assert bits(first.averaged) == bits(second.averaged)
    xr.testing.assert_identical(first.results, second.results)


def by_hand(settings, data, momentum, weight_decay):
    """SGD as its formula has it: v ← μ v + ∇L + λθ, θ ← θ − η v; and an average of θ."""
    model = models.build("small_resnet", CLASSES, settings.seed, **settings.model_settings)
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    average = [p.detach().clone() for p in model.parameters()]
    losses = []
    for step in range(STEPS):
        epoch, batch = divmod(step, 5)
        order = permutation(42, settings.seed, epoch)[8 * batch : 8 * batch + 8]
        loss = functional.cross_entropy(
            model(data.normalise(data.x_train[order])), data.y_train[order]
        )
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        step_size = 0.02 + 0.18 * step / STEPS
        with torch.no_grad():
            for p, v, a, g in zip(model.parameters(), velocity, average, gradients, strict=True):
                v.copy_(momentum * v + g + weight_decay * p)
                p -= step_size * v
                a.copy_(0.8 * a + 0.2 * p)
        losses.append(loss.item())
    return model.eval(), average, losses


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.05)])
def test_training_is_sgd_by_its_formula(data, momentum, weight_decay):
    of_sgd = {"momentum": momentum, "weight_decay": weight_decay}
    settings = replace(SETTINGS, optimizer_settings=of_sgd, averaging=0.8)
    trained = train(settings, data)
    model, average, losses = by_hand(settings, data, momentum, weight_decay)
    for ours, theirs in zip(
        trained.model.state_dict().values(), model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(trained.averaged.parameters(), average, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    results = trained.results
    ends = results.step.values
    assert ends.tolist() == [0, 2, 5, 8, 10, 12, 15]
    means = [np.mean(losses[a:b]) for a, b in pairwise(ends)]
    np.testing.assert_allclose(results.running_loss[1:], means, rtol=1e-4)
    assert np.isnan(results.running_loss[0])
    np.testing.assert_allclose(results.step_size, 0.02 + 0.18 * np.maximum(ends - 1, 0) / STEPS)


def test_evaluations_are_of_the_network_in_evaluation_mode(data):
    trained = train(SETTINGS, data)
    end = trained.results.isel(step=-1)
    assert not trained.model.training
    for part, x, y in (
        ("train", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        with torch.no_grad():
            outputs = trained.model(data.normalise(x))
        loss = functional.cross_entropy(outputs, y).item()
        assert float(end[f"{part}_loss"]) == pytest.approx(loss, rel=1e-5)
        assert float(end[f"{part}_error"]) == (outputs.argmax(1) != y).double().mean().item()
    layers = gather(trained.model, [data.normalise(data.x_train)], ["stage1", "stage2"])
    for name, layer in layers.items():
        found = feature_sparsity(layer.features)
        row = end.sel(layer=name)
        assert [float(row[key]) for key in ("raw", "distinct", "dead", "merged")] == [
            pytest.approx(value, abs=2 / layer.features.numel())
            for value in (found.raw, found.distinct, found.dead, found.merged)
        ]


def test_averaged_weights_have_batch_statistics_of_their_own(data):
    averaged = train(replace(SETTINGS, averaging=0.8), data).averaged
    with torch.no_grad():
        outputs = averaged.get_submodule("stem")[0](data.normalise(data.x_train))
    norm = averaged.get_submodule("stem")[1]
    torch.testing.assert_close(norm.running_mean, outputs.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_memory_is_channels_last_where_that_is_safe():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    narrow = models.build("small_resnet", 10, widths=(8, 16))
    wide = models.build("small_resnet", 10, widths=(16, 32))
    assert memory_format(narrow, cpu) == torch.contiguous_format
    assert {memory_format(wide, cpu), memory_format(narrow, cuda)} == {torch.channels_last}


def test_options_that_do_nothing_change_no_bit(data):
    plain = train(SETTINGS, data)
    same = train(replace(SETTINGS, averaging=0.5, optimizer_settings={"momentum": 0.0}), data)
    assert bits(plain.model) == bits(same.model)


@pytest.mark.parametrize(
    "change", [{"augment": True}, {"label_noise": 0.5}, {"seed": 6}, {"precision": "bf16"}]
)
def test_every_option_changes_the_result_and_the_seed_fixes_it(data, change):
    settings = replace(SETTINGS, epochs=1, evaluations=1, **change)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = train(settings, data)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002
    assert_same(first, train(settings, data))
    other = train(replace(SETTINGS, epochs=1, evaluations=1), data)
    assert bits(first.model) != bits(other.model)


def test_a_compiled_network_learns_the_same(data, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or model)
    assert bits(train(replace(SETTINGS, compile=True), data).model) == bits(
        train(SETTINGS, data).model
    )
    assert len(compiled) == 1


def test_redrawn_labels_are_uniform():
    labels = torch.zeros(100_000, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(redraw(labels, 0.0, 5, generator), labels)
    counts = torch.bincount(redraw(labels, 0.5, 5, generator), minlength=5) / len(labels)
    np.testing.assert_allclose(counts, [0.6, 0.1, 0.1, 0.1, 0.1], atol=0.005)


def test_noise_on_labels_is_of_the_training_alone(data):
    before = data.y_train.clone()
    settings = replace(SETTINGS, label_noise=1.0, epochs=20, evaluations=1)
    noisy, clean = train(settings, data), train(replace(settings, label_noise=0.0), data)
    assert torch.equal(data.y_train, before)
    assert noisy.results.running_loss[-1] > clean.results.running_loss[-1] + 0.5


def test_a_divergence_is_recorded_and_ends_the_run(data):
    model = {"widths": (4, 6), "norm": "none"}
    settings = replace(SETTINGS, step_size=1e15, model_settings=model)
    results = train(settings, data).results
    assert 1 <= results.diverged_at <= 5
    late = results.sel(step=slice(int(results.diverged_at) + 1, None))
    for name, variable in late.data_vars.items():
        if "step" in variable.dims:
            assert variable.isnull().all(), name
    assert np.isfinite(results.train_loss[0])


def test_weights_that_are_not_finite_are_a_divergence(data):
    class Spoil:
        """Spoils the weights after the last step, of which no mini-batch tells."""

        def __init__(self, optimizer, steps):
            self.optimizer, self.left = optimizer, steps

        def step(self, loss, again=None):
            self.left -= 1
            if self.left == 0:
                self.optimizer.param_groups[0]["params"][0].data[0] = torch.nan

    assert train(replace(SETTINGS, step_size=Spoil), data).results.diverged_at == STEPS


class Silence:
    """Makes the outputs constant from one step on, and gives them back at another."""

    def __init__(self, optimizer, start, end):
        self.weights = optimizer.param_groups[0]["params"][-2]
        self.start, self.end, self.steps = start, end, 0

    def step(self, loss, again=None):
        self.steps += 1
        if self.steps == self.start:
            self.kept = self.weights.data.clone()
        if self.steps >= self.start:
            self.weights.data.zero_()
        if self.steps >= self.end:
            self.weights.data.copy_(self.kept)


@pytest.mark.parametrize(
    ("start", "end", "collapsed_at"),
    [(6, 99, 8), (15, 99, 15), (6, 11, math.nan), (99, 99, math.nan)],
)
def test_a_collapse_is_the_first_evaluation_that_stays_without_signal(
    data, start, end, collapsed_at
):
    settings = replace(SETTINGS, step_size=lambda optimizer, steps: Silence(optimizer, start, end))
    results = train(settings, data).results
    np.testing.assert_equal(float(results.collapsed_at), collapsed_at)
    assert np.isnan(results.diverged_at)
    assert np.isfinite(results.train_loss).all()


def test_a_controller_sets_the_step_size_from_the_losses(data):
    class Counting:
        def __init__(self, optimizer, steps):
            assert steps == STEPS
            self.group, self.losses = optimizer.param_groups[0], []
            self.group["lr"] = 0.5

        def step(self, loss, again=None):
            self.losses.append(loss)
            self.group["lr"] = 0.5 / (1 + len(self.losses))

    results = train(replace(SETTINGS, step_size=Counting), data).results
    np.testing.assert_allclose(results.step_size, 0.5 / (1 + results.step))


class Halving:
    """A controller with a state."""

    def __init__(self, optimizer, steps):
        self.group, self.steps = optimizer.param_groups[0], 0
        self.group["lr"] = 0.2

    def __repr__(self):
        return "Halving"

    def step(self, loss, again=None):
        self.steps += 1
        if self.steps % 4 == 0:
            self.group["lr"] *= 0.5 + 0.1 * float(loss)

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


class Killed(BaseException):
    pass


def interrupted(settings, data, out, at, monkeypatch):
    """Train until the step after `at` begins; the checkpoint is of some step before it."""
    take_step = Run.take_step

    def step(run):
        if run.step >= at:
            raise Killed
        take_step(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "take_step", step)
        with pytest.raises(Killed):
            train(settings, data, out=out, resume=True, checkpoint_seconds=0.0)


@pytest.mark.filterwarnings("ignore:κ should be")  # eight steps are too few to find it
@pytest.mark.parametrize("step_size", [linear(0.02, 0.2), Halving, presets.Hold(), presets.Edge()])
def test_an_interrupted_run_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, step_size):
    settings = replace(EVERYTHING, step_size=step_size)
    whole = train(settings, data, out=tmp_path / "whole")
    for at in (0, 1, 5, 6, 13, 14):
        interrupted(settings, data, tmp_path / "cut", at, monkeypatch)
    cut = train(settings, data, out=tmp_path / "cut", resume=True)
    assert_same(cut, whole)
    for name in ("model.safetensors", "averaged.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("optimizer", ["AdamW", "NAdam", "RMSprop", "Rprop", "Adafactor"])
def test_every_optimizer_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, optimizer):
    settings = replace(SETTINGS, optimizer=optimizer, step_size=linear(1e-3, 1e-2))
    interrupted(settings, data, tmp_path, 7, monkeypatch)
    assert_same(train(settings, data, out=tmp_path, resume=True), train(settings, data))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("AdamW", {"betas": (0.8, 0.9)}), lambda p: torch.optim.AdamW(p, 0.1, betas=(0.8, 0.9))),
        (("RMSprop", {}), lambda p: torch.optim.RMSprop(p, 0.1)),
    ],
)
def test_any_optimizer_takes_its_own_steps(data, ours, theirs):
    name, of_it = ours
    settings = replace(SETTINGS, optimizer=name, optimizer_settings=of_it, step_size=1e-3, epochs=1)
    trained = train(settings, data).model
    model = models.build("small_resnet", CLASSES, settings.seed, **settings.model_settings)
    optimizer = theirs(model.parameters())
    optimizer.param_groups[0]["lr"] = 1e-3
    for batch in permutation(42, settings.seed, 0)[:40].split(8):
        optimizer.zero_grad()
        outputs = model(data.normalise(data.x_train[batch]))
        functional.cross_entropy(outputs, data.y_train[batch]).backward()
        optimizer.step()
    for a, b in zip(trained.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_controller_may_ask_for_the_loss_after_the_step(data):
    class Twice:
        """Asks, and compares with the loss of the same batch in a copy of the network."""

        def __init__(self, optimizer, steps):
            self.asked = []

        def step(self, loss, again=None):
            first, second = again(), again()
            assert first == second != loss
            self.asked.append(float(first))

    made = []
    settings = replace(SETTINGS, step_size=lambda *given: made.append(Twice(*given)) or made[0])
    watched = train(settings, data)
    assert len(made[0].asked) == STEPS
    silent = replace(SETTINGS, step_size=lambda *given: Silence(given[0], 99, 99))
    assert bits(watched.model) == bits(train(silent, data).model)


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(
    data, tmp_path, monkeypatch, capsys
):
    interrupted(EVERYTHING, data, tmp_path, 7, monkeypatch)
    latest = tmp_path / "checkpoint.safetensors"
    latest.write_bytes(latest.read_bytes()[:-1])
    cut = train(EVERYTHING, data, out=tmp_path, resume=True)
    assert "going on from the one before it" in capsys.readouterr().err
    assert_same(cut, train(EVERYTHING, data))


def test_a_finished_run_is_taken_up_and_leaves_no_checkpoint(data, tmp_path):
    first = train(EVERYTHING, data, out=tmp_path)
    names = {"config.json", "results.nc", "model.safetensors", "averaged.safetensors", ".lock"}
    assert {path.name for path in tmp_path.iterdir()} == names
    before = (tmp_path / "results.nc").stat().st_mtime_ns
    assert_same(train(EVERYTHING, data, out=tmp_path, resume=True), first)
    assert (tmp_path / "results.nc").stat().st_mtime_ns == before
    results, config = store.load(tmp_path / "results.nc")
    xr.testing.assert_identical(results["training"].to_dataset(), first.results)
    assert config == _files.read_json(tmp_path / "config.json", sealed=True)


def test_a_folder_that_holds_a_run_is_not_written_to(data, tmp_path, monkeypatch):
    interrupted(SETTINGS, data, tmp_path, 3, monkeypatch)
    with pytest.raises(ValueError, match="holds a run: resume it, or name another folder"):
        train(SETTINGS, data, out=tmp_path)
    other = replace(SETTINGS, step_size=0.1, optimizer_settings={"momentum": 0.5})
    with pytest.raises(
        ValueError, match=r"step_size was '0.02 → 0.2 .*settings was {} and is now {'momentum'"
    ):
        train(other, data, out=tmp_path, resume=True)
    fewer = replace(data, x_test=data.x_test[:9], y_test=data.y_test[:9])
    with pytest.raises(ValueError, match="test examples was 20 and is now 9"):
        train(SETTINGS, fewer, out=tmp_path, resume=True)
    train(SETTINGS, data, out=tmp_path, resume=True)
    with pytest.raises(
        ValueError, match=r"optimizer_settings was {} and is now {'momentum': 0\.5}"
    ):
        train(other, data, out=tmp_path, resume=True)


def test_another_environment_is_told(data, tmp_path, monkeypatch, capsys):
    interrupted(SETTINGS, data, tmp_path, 3, monkeypatch)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    train(SETTINGS, data, out=tmp_path, resume=True)
    assert "threads 1: its bits may differ from here" in capsys.readouterr().err


def test_a_disk_that_fills_up_stops_the_run_and_keeps_the_last_checkpoint(
    data, tmp_path, monkeypatch
):
    written = []

    def fsync(descriptor):
        written.append(descriptor)
        if len(written) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(OSError, match=r"cannot write .*checkpoint.* No space left on device"):
            train(EVERYTHING, data, out=tmp_path, checkpoint_seconds=0.0)
    assert 0 < checkpoints.load(tmp_path)[1]["step"] < STEPS
    assert_same(train(EVERYTHING, data, out=tmp_path, resume=True), train(EVERYTHING, data))


def test_a_full_disk_is_noticed_before_the_first_step(data, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Run, "take_step", lambda run: pytest.fail("a step was taken"))
    with pytest.raises(OSError, match="No space left on device"):
        train(SETTINGS, data, out=tmp_path)


def test_a_signal_stops_after_the_step_with_a_checkpoint(data, tmp_path, monkeypatch):
    class Signal(Halving):
        def step(self, loss, again=None):
            super().step(loss, again)
            if self.steps == 7:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match=r"stopped at step 7 of 15; .* holds a checkpoint") as stopped:
        train(replace(SETTINGS, step_size=Named(Signal)), data, out=tmp_path)
    assert stopped.value.signal == signal.SIGTERM
    assert checkpoints.load(tmp_path)[1]["step"] == 7
    cut = train(replace(SETTINGS, step_size=Named(Halving)), data, out=tmp_path, resume=True)
    assert_same(cut, train(replace(SETTINGS, step_size=Named(Halving)), data))


class Named:
    def __init__(self, kind):
        self.kind = kind

    def __call__(self, optimizer, steps):
        return self.kind(optimizer, steps)

    def __repr__(self):
        return "the same name"


def test_tensorboard_has_every_scalar(data, tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    results = train(SETTINGS, data, out=tmp_path, tensorboard=True).results
    (log,) = (tmp_path / "tensorboard").iterdir()
    seen = {
        (value.tag, event.step): value.tensor.float_val[0]
        for event in EventFileLoader(str(log)).Load()
        for value in event.summary.value
    }
    assert seen["test_loss", STEPS] == pytest.approx(float(results.test_loss[-1]))
    row = results.distinct.sel(layer="stage2")
    assert seen["distinct/stage2", 8] == pytest.approx(float(row.sel(step=8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet"}, "model must be one of small_resnet, .*got 'resnet'"),
        ({"step_size": "large"}, "step_size must be a number"),
        ({"step_size": -1.0}, "step_size must be at least 0"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 2.5}, "batch_size must be an integer"),
        ({"optimizer_settings": {"momentum": -1.0}}, "do not suit SGD: Invalid momentum value"),
        ({"optimizer_settings": {"beta": 1.0}}, "do not suit SGD: .*'beta'"),
        ({"optimizer_settings": {"lr": 1.0}}, "must not hold lr: it is set by the training"),
        (
            {"optimizer": "LBFGS"},
            "one of Adafactor, .*, got 'LBFGS': it evaluates the loss several",
        ),
        ({"optimizer_settings": {"weight_decay": math.nan}}, "weight_decay must be finite"),
        ({"label_noise": 2}, "label_noise must be at least 0 and at most 1"),
        ({"averaging": 0.0}, "averaging must be above 0"),
        ({"averaging": 1.0}, "averaging must be above 0 and below 1"),
        ({"precision": "fp16"}, "precision must be fp32 or bf16, got 'fp16'"),
        ({"evaluations": 0}, "evaluations must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_settings_out_of_range_are_named(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        replace(SETTINGS, **change)


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        (replace(SETTINGS, batch_size=43), {}, "batch_size must be at most .* 42, got 43"),
        (SETTINGS, {"device": "gpu"}, "device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        (SETTINGS, {"resume": True}, "out must name a folder"),
        (SETTINGS, {"tensorboard": True}, "out must name a folder"),
        (SETTINGS, {"checkpoint_seconds": -1}, "checkpoint_seconds must be at least 0"),
        (replace(SETTINGS, model_settings={"depth": 3}), {}, "depth"),
    ],
)
def test_what_cannot_be_trained_is_named(data, settings, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        train(settings, data, **arguments)


def test_the_paper_s_schedules():
    t = np.array([0.0, 0.2, 0.3, 0.6, 0.9, 1.0])
    plain = presets.training("resnet18", "large", phase=0.3).step_size
    end = 0.75 * 1.05**30
    np.testing.assert_allclose(
        plain(t), [0.75, 0.75 * 1.05**20, end / 10, end / 10, end / 100, end / 100]
    )
    sota = presets.training("densenet100", "large", setting="sota", phase=0.3)
    np.testing.assert_allclose(sota.step_size(t), [0.05, 0.05, 5e-3, 5e-3, 5e-4, 5e-4])
    assert sota.optimizer_settings == {"momentum": 0.9, "weight_decay": 5e-4}
    assert sota.augment
    assert presets.training("resnet18", "small").step_size == decay(0.01, factor=1, at=0).before
    assert presets.training("digits", "small", step_size=0.3, epochs=2).epochs == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cifar",), "preset must be one of digits, glyphs, .*, got 'cifar'"),
        (("digits", "fast"), "schedule must be one of small, large, late, hold, edge, got 'fast'"),
    ],
)
def test_unknown_presets_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        presets.training(*arguments)
    with pytest.raises(ValueError, match=r"phase must be above 0 and at most 0\.9"):
        presets.training("digits", phase=0.95)


def trained_together(out=None, **environment):
    os.environ.update(environment)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 1, 6, 6), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 3, (40,), generator=generator)
    made_up = Dataset.of("made up", images, labels, images, labels, 3)
    settings = Training(
        "small_resnet",
        0.1,
        epochs=1,
        batch_size=10,
        augment=True,
        label_noise=0.2,
        optimizer_settings={"momentum": 0.5},
        model_settings={"widths": (16,), "norm": "group"},
        evaluations=2,
    )
    return train(settings, made_up, device="cpu", out=out)


def test_two_processes_train_as_one(loaded, tmp_path):
    # What torchrun sets, without its own start.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }
    workers = [
        loaded.Process(
            target=trained_together,
            args=(tmp_path / "two",),
            kwargs={**shared, "RANK": rank, "LOCAL_RANK": rank},
            daemon=True,
        )
        for rank in "01"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    one = trained_together()
    two = load_file(tmp_path / "two" / "model.safetensors")
    for name, ours in one.model.state_dict().items():
        torch.testing.assert_close(two[name], ours, rtol=1e-4, atol=1e-6)
    results = store.load(tmp_path / "two" / "results.nc")[0]["training"].dataset
    np.testing.assert_allclose(results.running_loss, one.results.running_loss, rtol=1e-5)


def test_an_evaluation_runs_the_network_once_over_each_batch(data, monkeypatch):
    passes = []
    forward = Evaluations._forward

    def counted(self, model, batch):
        passes.append(len(batch[0]))
        return forward(self, model, batch)

    monkeypatch.setattr(Evaluations, "_forward", counted)
    results = train(SETTINGS, data).results
    inputs = min(SETTINGS.examples, len(data.x_train)), len(data.x_test)
    assert passes == [*inputs] * len(results.step)


def test_the_figure_shows_what_happened(data):
    from largestep.figures.training import draw_training

    results = train(replace(SETTINGS, averaging=0.5), data).results
    broken = copy.deepcopy(results)
    broken["collapsed_at"] = broken.collapsed_at.copy(data=8.0)
    for shown, lines in ((results, 3), (broken, 4)):
        figure = draw_training(shown)
        assert [len(ax.lines) for ax in figure.axes][2] == lines
        figure.canvas.draw()


def test_damaged_weights_of_a_finished_run_are_named(data, tmp_path):
    train(SETTINGS, data, out=tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        train(SETTINGS, data, out=tmp_path, resume=True)


def test_numbers_of_numpy_are_numbers(data, tmp_path):
    settings = replace(
        SETTINGS,
        step_size=np.float32(0.125),
        batch_size=np.int64(8),
        epochs=np.uint8(1),
        optimizer_settings={"momentum": np.float64(0.5)},
    )
    trained = train(settings, data, out=tmp_path)
    plain = replace(
        SETTINGS, step_size=0.125, batch_size=8, epochs=1, optimizer_settings={"momentum": 0.5}
    )
    assert_same(train(plain, data, out=tmp_path, resume=True), trained)
