"""The probe in other people's training loops, with the real libraries."""

import csv

import pytest
import torch
from torch import nn

from largestep.deep import Probe, loggers

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


def test_lightning(data, tmp_path):
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import CSVLogger

    from largestep.deep.lightning import ProbeCallback

    class Classifier(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network()

        def training_step(self, batch, _):
            x, y = batch
            return nn.functional.cross_entropy(self.network(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    model = Classifier()
    probe = Probe(model.network, data.tensors[0], every=3)

    def trainer(epochs, probe):
        return pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            accumulate_grad_batches=2,
            callbacks=[ProbeCallback(probe)],
            logger=CSVLogger(tmp_path),
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )

    loader = torch.utils.data.DataLoader(data, batch_size=5)
    first = trainer(2, probe)
    first.fit(model, loader)
    assert probe.steps == 8  # 2 epochs of 8 batches, two to a step
    assert probe.dataset().step.values.tolist() == [0, 3, 6]
    assert probe.dataset().sizes["loss_step"] == 8
    assert "distinct/1" in (tmp_path / "lightning_logs/version_0/metrics.csv").read_text()

    first.save_checkpoint(tmp_path / "checkpoint.ckpt")
    again = Probe(model.network, data.tensors[0], every=3)
    trainer(3, again).fit(model, loader, ckpt_path=tmp_path / "checkpoint.ckpt")
    assert again.dataset().step.values.tolist() == [0, 3, 6, 9, 12]


def test_hugging_face_trainer(data, tmp_path):
    from transformers import Trainer, TrainingArguments

    from largestep.deep.transformers import ProbeCallback

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x, labels):
            logits = self.network(x)
            return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}

    records = [{"x": x, "labels": y} for x, y in data]
    model = Classifier()
    probe = Probe(model, [torch.utils.data.default_collate(records)], every=4)
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=8,
        save_steps=6,
        per_device_train_batch_size=10,
        logging_steps=2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=records, callbacks=[ProbeCallback(probe)])
    trainer.train()
    assert probe.dataset().step.values.tolist() == [0, 4, 8]
    assert probe.dataset().sizes["loss_step"] == 4
    logged = [entry for entry in trainer.state.log_history if "distinct/network.1" in entry]
    assert [entry["step"] for entry in logged] == [4, 8]

    again = Probe(model, [torch.utils.data.default_collate(records)], every=4)
    trainer = Trainer(model, arguments, train_dataset=records, callbacks=[ProbeCallback(again)])
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert again.dataset().step.values.tolist() == [0, 8]
