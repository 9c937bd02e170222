"""The probe in other people's training loops, with the real libraries."""

import csv

import pytest
import torch
from torch import nn

from largestep.deep import HoldEdge, LossStabilization, Probe, loggers

# Their warnings are theirs.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    return torch.utils.data.TensorDataset(x, (x[:, 0] > 0).long())


def network():
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 2))


def test_csv_and_tensorboard(data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    outlets = [loggers.csv(tmp_path / "probe.csv"), loggers.tensorboard(tmp_path / "events")]
    probe = Probe(network(), data.tensors[0], every=2, loggers=outlets)
    for _ in range(4):
        probe.step()
    with (tmp_path / "probe.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [0] * 4 + [2] * 4 + [4] * 4
    assert {row["layer"] for row in rows} == {"1"}
    distinct = [float(row["value"]) for row in rows if row["measure"] == "distinct"]
    assert distinct == probe.dataset().distinct.values[:, 0].tolist()
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    logged = events.Scalars("distinct/1")
    assert [event.step for event in logged] == [0, 2, 4]
    assert [event.value for event in logged] == pytest.approx(distinct)


def test_csv_that_cannot_be_written_is_an_early_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        loggers.csv(tmp_path / "missing" / "probe.csv")


class Classifier(nn.Module):
    """A model as Hugging Face's `Trainer` wants it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = network()

    def forward(self, x, labels):
        logits = self.network(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def lightning_module(returned="loss", by_hand=False):
    import lightning.pytorch as pl

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.network = network()
            self.automatic_optimization = not by_hand
            self.losses = []

        def training_step(self, batch, number):
            loss = nn.functional.cross_entropy(self.network(batch[0]), batch[1])
            self.losses.append(loss.item())
            if by_hand:
                optimizer = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            match returned:
                case "loss":
                    return loss
                case "dictionary":
                    return {"loss": loss}
                case "nothing every other time":
                    return loss if number % 2 else None

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Module()


def lightning_trainer(folder, *callbacks, logger=None, **settings):
    import lightning.pytorch as pl

    return pl.Trainer(
        **({"max_epochs": 1} | settings),
        default_root_dir=folder,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=logger or False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def batches_of(data, size=5):
    return torch.utils.data.DataLoader(data, batch_size=size)


def test_lightning(data, tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    from largestep.deep.lightning import ProbeCallback

    model = lightning_module()
    probe = Probe(model.network, data.tensors[0], every=3)

    def trainer(epochs, probe):
        return lightning_trainer(
            tmp_path,
            ProbeCallback(probe),
            max_epochs=epochs,
            accumulate_grad_batches=2,
            logger=CSVLogger(tmp_path),
            log_every_n_steps=1,
        )

    first = trainer(2, probe)
    first.fit(model, batches_of(data))
    assert probe.steps == 8  # 2 epochs of 8 batches, two to a step
    assert probe.dataset().step.values.tolist() == [0, 3, 6]
    means = torch.tensor(model.losses).reshape(-1, 2).mean(1)
    assert probe.dataset().train_loss.values == pytest.approx(means.numpy())
    assert "distinct/1" in (tmp_path / "lightning_logs/version_0/metrics.csv").read_text()

    first.save_checkpoint(tmp_path / "checkpoint.ckpt")
    again = Probe(model.network, data.tensors[0], every=3)
    trainer(3, again).fit(model, batches_of(data), ckpt_path=tmp_path / "checkpoint.ckpt")
    assert again.dataset().step.values.tolist() == [0, 3, 6, 9, 12]


@pytest.mark.parametrize(
    ("returned", "by_hand", "losses"),
    [
        ("dictionary", False, 8),
        ("nothing every other time", False, 4),
        ("loss", True, 8),
        ("nothing", True, 0),
    ],
)
def test_lightning_whatever_training_step_returns(data, tmp_path, returned, by_hand, losses):
    from largestep.deep.lightning import ProbeCallback

    model = lightning_module(returned, by_hand)
    probe = Probe(model.network, data.tensors[0], every=4)
    trainer = lightning_trainer(tmp_path, ProbeCallback(probe))
    trainer.fit(model, batches_of(data))
    assert probe.steps == trainer.global_step
    assert probe.dataset().sizes["loss_step"] == losses


@pytest.mark.parametrize(("by_hand", "parts"), [(False, 1), (False, 2), (True, 1)])
def test_lightning_with_a_controller(data, tmp_path, by_hand, parts):
    """The same weights as in a plain loop, also when a checkpoint was resumed."""
    from largestep.deep.lightning import ControllerCallback

    expected = Classifier().network
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1)
    controller = LossStabilization(optimizer, 8 // parts)
    for _ in range(2):
        for x, y in batches_of(data, 10 * parts):
            loss = nn.functional.cross_entropy(expected(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            controller.step(loss)

    def fit(epochs, **given):
        module = lightning_module(by_hand=by_hand)
        callback = ControllerCallback(LossStabilization)
        # As many steps are planned; the first trainer is stopped in the middle.
        trainer = lightning_trainer(
            tmp_path,
            callback,
            max_epochs=2,
            limit_train_batches=4,
            **({} if by_hand else {"accumulate_grad_batches": parts}),
        )
        if epochs == 1:
            trainer.callbacks.append(Stopping())
        trainer.fit(module, batches_of(data, 10), **given)
        return trainer, module, callback

    import lightning.pytorch as pl

    class Stopping(pl.Callback):
        def on_train_epoch_end(self, trainer, _):
            trainer.should_stop = True

    _, whole, callback = fit(2)
    for a, b in zip(whole.network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert callback.controller.taken == 8 // parts
    half, _, _ = fit(1)
    half.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed, _ = fit(2, ckpt_path=tmp_path / "half.ckpt")
    for a, b in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(a, b)


def hugging_face(folder, model, data, callback, **settings):
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(folder),
        **{
            "max_steps": 8,
            "save_steps": 6,
            "per_device_train_batch_size": 10,
            "logging_steps": 2,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
        }
        | settings,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=[{"x": x, "labels": y} for x, y in data],
        optimizers=(torch.optim.SGD(model.parameters(), lr=0.1), None),
    )
    trainer.add_callback(callback(trainer))
    return trainer


@pytest.fixture
def records(data):
    return [{"x": data.tensors[0], "labels": data.tensors[1]}]


def test_hugging_face_trainer(data, records, tmp_path):
    from largestep.deep.transformers import ProbeCallback

    model = Classifier()
    probe = Probe(model, records, every=4)
    trainer = hugging_face(tmp_path, model, data, lambda _: ProbeCallback(probe))
    trainer.train()
    assert probe.dataset().step.values.tolist() == [0, 4, 8]
    assert probe.dataset().sizes["loss_step"] == 4
    logged = [entry for entry in trainer.state.log_history if "distinct/network.1" in entry]
    assert [entry["step"] for entry in logged] == [4, 8]

    again = Probe(model, records, every=4)
    trainer = hugging_face(tmp_path, model, data, lambda _: ProbeCallback(again))
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    found, whole = again.dataset(), probe.dataset()
    assert found.step.values.tolist() == [0, 4, 8]
    assert found.distinct[:2].equals(whole.distinct[:2])
    assert found.loss_step.values.tolist() == [2, 4, 6, 8]

    (tmp_path / "checkpoint-6" / "probe.pt").unlink()
    with pytest.warns(RuntimeWarning, match=r"probe\.pt: what ProbeCallback knew of the 6 steps"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))


def test_hugging_face_trainer_reports_where_it_reports(data, records, tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from largestep.deep.transformers import ProbeCallback

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    model = Classifier()
    probe = Probe(model, records, every=4)
    trainer = hugging_face(
        tmp_path,
        model,
        data,
        lambda trainer: ProbeCallback(probe, trainer),
        report_to=["tensorboard"],
        gradient_accumulation_steps=2,
        per_device_train_batch_size=5,
        logging_steps=1,
    )
    trainer.train()
    (folder,) = {path.parent for path in (tmp_path / "events").rglob("events.*")}
    events = EventAccumulator(str(folder)).Reload()
    (tag,) = (name for name in events.Tags()["scalars"] if "distinct" in name)
    assert [event.step for event in events.Scalars(tag)] == [4, 8]
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert probe.dataset().train_loss.values == pytest.approx(losses, abs=1e-4)
    assert probe.dataset().loss_step.values.tolist() == list(range(1, 9))


def test_hugging_face_trainer_with_a_controller(data, tmp_path):
    from largestep.deep.transformers import ControllerCallback

    weights = []
    for parts, resume in ((1, None), (1, "checkpoint-6"), (2, None)):
        model = Classifier()
        trainer = hugging_face(
            tmp_path,
            model,
            data,
            lambda trainer: ControllerCallback(LossStabilization, trainer),
            max_grad_norm=0.0,
            gradient_accumulation_steps=parts,
            per_device_train_batch_size=10 // parts,
            seed=1,
        )
        trainer.train(resume_from_checkpoint=resume and str(tmp_path / resume))
        weights.append(model.network[0].weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    torch.testing.assert_close(weights[0], weights[2])
    assert not torch.equal(weights[0], Classifier().network[0].weight)


def test_accelerate(data):
    """Accumulated, with a wrapped optimizer: the same as a plain loop."""
    from accelerate import Accelerator

    weights = []
    for parts in (1, 4):
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=parts)
        model = Classifier().network
        model, optimizer, loader = accelerator.prepare(
            model, torch.optim.SGD(model.parameters(), lr=0.1), batches_of(data, 20 // parts)
        )
        probe = Probe(model, data.tensors[0], every=2)
        controller = LossStabilization(optimizer, 6)
        for _ in range(3):
            for x, y in loader:
                with accelerator.accumulate(model):
                    loss = nn.functional.cross_entropy(model(x), y)
                    accelerator.backward(loss)
                    optimizer.step()
                    controller.step(loss)
                    optimizer.zero_grad()
                    if accelerator.sync_gradients:
                        probe.step(loss)
        assert controller.taken == probe.steps == 6
        assert probe.dataset().step.values.tolist() == [0, 2, 4, 6]
        weights.append(model[0].weight.detach())
    torch.testing.assert_close(*weights)


class Noted(HoldEdge):
    """Notes the step sizes that it sets."""

    def step(self, loss, again=None):
        before = self.taken
        super().step(loss, again)
        if self.taken > before:
            vars(self).setdefault("found", []).extend(self.get_last_lr())


def held_by_hand(batches, steps):
    """Return the network and the step sizes of a plain loop."""
    model = Classifier()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = Noted(optimizer, steps, model=model)
    for _ in range(steps // len(batches)):
        for x, y in batches:

            def loss_of(x=x, y=y):
                return model(x, y)["loss"]

            loss = loss_of()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            controller.step(loss, loss_of)
    return model.network, controller.found


@pytest.mark.parametrize("parts", [1, 2])
def test_lightning_with_the_edge_held(data, tmp_path, parts):
    """As in a plain loop; what `training_step` does besides is done once a batch."""
    from largestep.deep.lightning import ControllerCallback

    expected, sizes = held_by_hand(batches_of(data, 20), 20)
    module, callback = lightning_module(), ControllerCallback(Noted)
    trainer = lightning_trainer(tmp_path, callback, max_epochs=10, accumulate_grad_batches=parts)
    trainer.fit(module, batches_of(data, 20 // parts))
    assert len(module.losses) == 20 * parts
    assert callback.controller.found == pytest.approx(sizes, rel=1e-3)
    torch.testing.assert_close(module.network[0].weight, expected[0].weight, rtol=1e-2, atol=1e-4)


def test_lightning_that_optimises_by_hand_with_the_edge_held(data, tmp_path):
    """The callback can't take its step again; in `training_step` a controller is at home."""
    from largestep.deep.lightning import ControllerCallback

    trainer = lightning_trainer(tmp_path, ControllerCallback(Noted))
    with pytest.raises(TypeError, match="needs again"):
        trainer.fit(lightning_module(by_hand=True), batches_of(data, 20))

    class Module(type(lightning_module())):
        def on_train_start(self):
            self.controller = Noted(self.optimizers(), 20, model=self.network)

        def training_step(self, batch, number):
            def loss_of():
                return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

            loss = loss_of()
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.controller.step(loss, loss_of)

    module = Module()
    module.automatic_optimization = False
    lightning_trainer(tmp_path, max_epochs=10).fit(module, batches_of(data, 20))
    assert module.controller.found == pytest.approx(held_by_hand(batches_of(data, 20), 20)[1])


def test_hugging_face_trainer_with_the_edge_held(data, tmp_path):
    """Accumulated, clipped, resumed: the step sizes hardly change."""
    from largestep.deep.transformers import ControllerCallback

    found = {}
    for parts, resume in ((1, None), (1, "checkpoint-6"), (2, None)):
        model = Classifier()
        trainer = hugging_face(
            tmp_path,
            model,
            data,
            lambda trainer: ControllerCallback(Noted, trainer),
            max_steps=12,
            gradient_accumulation_steps=parts,
            per_device_train_batch_size=20 // parts,
            seed=1,
        )
        callback = trainer.callback_handler.callbacks[-1]
        trainer.train(resume_from_checkpoint=resume and str(tmp_path / resume))
        assert callback.controller.model is trainer.model
        found[parts, resume] = callback.controller.found
    assert len(found[1, None]) == 12
    assert found[1, "checkpoint-6"] == found[1, None][6:]
    assert found[2, None] == pytest.approx(found[1, None], rel=1e-2)


def test_accelerate_with_the_edge_held(data):
    """Accumulated, with a wrapped optimizer."""
    from accelerate import Accelerator

    expected = held_by_hand(batches_of(data, 20), 20)[1]
    for parts in (1, 2):
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=parts)
        model = Classifier()
        model, optimizer, loader = accelerator.prepare(
            model, torch.optim.SGD(model.parameters(), lr=0.1), batches_of(data, 20 // parts)
        )
        controller = Noted(optimizer, 20, model=model)
        for _ in range(10):
            for x, y in loader:

                def loss_of(x=x, y=y):
                    return model(x, y)["loss"]  # noqa: B023

                with accelerator.accumulate(model):
                    loss = loss_of()
                    accelerator.backward(loss)
                    optimizer.step()
                    controller.step(loss, loss_of)
                    optimizer.zero_grad()
        assert controller.found == pytest.approx(expected, rel=1e-3)
