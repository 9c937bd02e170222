import copy
import pickle
import warnings
from datetime import timedelta
from types import MappingProxyType

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from largestep.deep import Probe
from largestep.deep.measures import (
    Activity,
    BatchSharpness,
    GradientNoise,
    Measure,
    Quantity,
    Sharpness,
    Sparsity,
    SpectralDensity,
    StepSize,
)
from largestep.figures.probe import draw_probe
from largestep.metrics import feature_sparsity


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 2)
    ).to(dtype)


@pytest.fixture
def inputs():
    return torch.randn(64, 6, generator=torch.Generator().manual_seed(1))


def train(model, inputs, probe=None, steps=12):
    torch.manual_seed(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    losses = []
    for _ in range(steps):
        batch = inputs[torch.randint(len(inputs), (16,))]
        loss = (model(batch) - batch[:, :2]).square().mean()
        loss.backward()
        if probe is not None:
            probe.step(loss)  # between backward and step: nothing may be disturbed
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_training_goes_on_bit_for_bit_as_without_it(inputs):
    alone, watched = network(), network()
    probe = Probe(watched, inputs, every=1)
    assert train(alone, inputs) == train(watched, inputs, probe)
    for a, b in zip(alone.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_it_measures_what_the_metric_measures(inputs):
    model = network().eval()
    expected = feature_sparsity(model[:3](inputs).detach(), 0.8)
    found = Probe(model, inputs, measures=[Sparsity(0.8)]).measure().sel(layer="2")
    assert (float(found.raw), float(found.distinct), float(found.dead)) == (
        expected.raw,
        expected.distinct,
        expected.dead,
    )


def test_the_dataset_holds_steps_layers_and_losses(inputs, tmp_path):
    model = network()
    probe = Probe(model, [(inputs, torch.zeros(64))], every=5)
    losses = train(model, inputs, probe)
    found = probe.dataset()
    assert found.step.values.tolist() == [0, 5, 10]
    assert found.layer.values.tolist() == ["2"]
    np.testing.assert_allclose(found.train_loss, losses, rtol=1e-6)
    assert found.loss_step.values.tolist() == list(range(1, 13))
    probe.save(tmp_path / "probe.nc")
    with xr.open_dataset(tmp_path / "probe.nc", engine="h5netcdf") as stored:
        xr.testing.assert_equal(stored.load(), found)


def test_a_plateau_of_the_losses_is_found(inputs):
    probe = Probe(network(), inputs, every=1000)
    with pytest.raises(ValueError, match=r"probe\.step\(loss\)"):
        probe.plateau()
    noise = np.random.default_rng(0).lognormal(sigma=0.2, size=300)
    for loss in 0.5 * noise:
        probe.step(loss)
    assert probe.plateau().level == pytest.approx(0.5, rel=0.1)


def test_state_round_trip_goes_on_where_it_was(inputs):
    model = network()
    whole = Probe(model, inputs, every=2)
    half = copy.deepcopy(whole)
    train(model, inputs, whole, steps=4)
    half.load_state_dict(whole.state_dict())
    xr.testing.assert_identical(half.dataset(), whole.dataset())
    assert half.step(0.1) is None
    assert half.step(0.1) is not None


def test_a_loss_is_a_number_of_its_own(inputs):
    probe = Probe(network(), inputs)
    same = torch.zeros(1)
    for _ in range(3):
        probe.step(same.add_(1))
    assert probe.dataset().train_loss.values.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"single number, got shape \(2,\)"):
        probe.step(torch.zeros(2))


def test_a_state_stays_as_it_was_when_the_probe_goes_on(inputs):
    probe = Probe(network(), inputs, every=1)
    state = pickle.loads(pickle.dumps(probe)).state_dict()
    kept = probe.state_dict()
    probe.step()
    assert kept == state


def _process(rank, folder):
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=2),  # should the other one die
    )
    model = nn.parallel.DistributedDataParallel(network())
    inputs = torch.randn(64, 6, generator=torch.Generator().manual_seed(rank))
    probe = Probe(model, inputs, every=2)
    train(model, inputs, probe, steps=4)
    probe.save(folder / f"{rank}.nc")
    torch.distributed.destroy_process_group()


def test_of_several_processes_the_first_measures(in_two_processes, tmp_path):
    in_two_processes(_process, tmp_path)
    for rank, steps in enumerate(([0, 2, 4], [])):
        with xr.open_dataset(tmp_path / f"{rank}.nc", engine="h5netcdf") as stored:
            assert stored.step.values.tolist() == steps
            assert stored.sizes["loss_step"] == 4


@pytest.mark.parametrize(
    ("measuring", "steps"),
    [
        (1.0, [0, 100, 200, 300, 400]),
        (5.0, [0, 200, 400]),
        (30.0, [0]),
        (0.0, [0, 100, 200, 300, 400]),
    ],
)
def test_by_default_it_takes_a_small_share_of_the_time(inputs, monkeypatch, measuring, steps):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    class Slow(Sparsity):
        def measure(self, subject):
            clock[0] += measuring
            return super().measure(subject)

    probe = Probe(network(), inputs, measures=[Slow()])
    for _ in range(400):
        clock[0] += 1.0
        probe.step()
    assert probe.dataset().step.values.tolist() == steps


def test_activations_that_are_not_finite_are_reported_and_training_goes_on(inputs):
    model = network()
    probe = Probe(model, inputs, every=1)
    with torch.no_grad():
        model[0].weight[0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="layer '2': features must be finite, got nan"):
        scalars = probe.step()
    assert np.isnan(scalars["distinct/2"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe.step()
    assert probe.dataset().distinct.isnull().values.ravel().tolist() == [False, True, True]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_precisions(inputs, dtype):
    found, expected = (Probe(model, inputs).measure() for model in (network(dtype), network()))
    np.testing.assert_allclose(found.raw, expected.raw, atol=0.02)


def test_a_loader_is_read_once(inputs):
    with pytest.warns(RuntimeWarning, match="only once .*those that are taken, training does not"):
        probe = Probe(network(), iter([inputs[:40], inputs[40:]]), max_inputs=50)
    assert [len(layer.features) for layer in probe.features().values()] == [50]
    assert [len(layer.features) for layer in probe.features().values()] == [50]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (
            (torch.ones(8, 6), torch.ones(8)),
            r"shapes \(8, 6\) and \(8,\): write \[\(inputs, targets\)",
        ),
        (torch.utils.data.TensorDataset(torch.ones(8, 6)), "wrap it in a DataLoader"),
        (3, "must be batches, as a list of tensors or a DataLoader, got int"),
        (torch.ones(8, 6, dtype=torch.uint8), "does not take its inputs as uint8"),
    ],
)
def test_what_is_no_batches_is_refused(batches, message):
    with pytest.raises(TypeError, match=message):
        Probe(network(), batches)


def test_batches_in_a_tuple_are_batches():
    inputs = torch.randn(16, 6)
    probe = Probe(network(), inputs.split(8))
    assert [len(layer.features) for layer in probe.features().values()] == [16]


def test_smooth_units_are_active_above_a_share_of_the_layer(inputs):
    model = nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 12), nn.ReLU())
    plain, stricter = (
        Probe(model, inputs, measures=[Sparsity(smooth_threshold=s)]).measure().raw
        for s in (0.0, 0.5)
    )
    features = model[:2](inputs).detach()
    above = 0.5 * features.double().square().mean().sqrt()
    assert float(plain.sel(layer="1")) == pytest.approx((features > 0).double().mean().item())
    assert float(stricter.sel(layer="1")) == pytest.approx(
        (features > above).double().mean().item()
    )
    assert plain.sel(layer="3") == stricter.sel(layer="3")


def test_sharpness_is_the_hessians_largest_eigenvalue():
    # Mean square of w·x: the Hessian is 2/n Σ x xᵀ.
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    model = nn.Sequential(nn.Linear(6, 1, bias=False), nn.LeakyReLU(1.0)).double()
    heard = []
    probe = Probe(
        model,
        [(x, torch.zeros(50, 1, dtype=torch.float64))],
        loss_function=nn.MSELoss(),
        loggers=[lambda _, scalars: heard.append(scalars["sharpness"])],
    )
    expected = torch.linalg.eigvalsh(2 * x.T @ x / 50)[-1].item()
    assert probe.dataset().sharpness.values == pytest.approx([expected], rel=1e-3)
    assert heard == pytest.approx([expected], rel=1e-3)


def test_loggers_hear_of_every_measurement(inputs):
    heard = []
    probe = Probe(network(), inputs, every=2, loggers=[lambda *given: heard.append(given)])
    for _ in range(4):
        probe.step()
    assert [step for step, _ in heard] == [0, 2, 4]
    assert set(heard[0][1]) == {"raw/2", "distinct/2", "dead/2", "merged/2"}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"every": 0}, ValueError, "every must be at least 1"),
        ({"max_inputs": 0.5}, TypeError, "max_inputs must be an integer"),
        ({"measures": []}, ValueError, "measures must hold at least one"),
        ({"measures": [Sparsity]}, TypeError, "it is a class: call it"),
        ({"measures": [Sharpness()]}, ValueError, "Sharpness needs a loss"),
        ({"measures": [Sparsity(), Sparsity(0.5)]}, ValueError, "different names, got 'raw' from"),
        ({"measures": [Sparsity(every=0)]}, ValueError, "every of Sparsity must be at least 1"),
        ({"units": "pixel"}, ValueError, "'position' or 'channel'"),
        ({"layers": "4.relu"}, ValueError, "matches nothing; near it are"),
    ],
)
def test_bad_settings_are_refused(inputs, settings, error, message):
    with pytest.raises(error, match=message):
        Probe(network(), inputs, **settings)


def test_a_report_says_what_is_wrong_and_what_was_not_recorded(inputs):
    model = network()
    with torch.no_grad():
        model[0].bias.fill_(-10)
        model[1].bias.fill_(-100)
    probe = Probe(model, inputs, every=10)
    train(model, inputs, probe, steps=30)
    report = probe.report()
    assert {finding.name for finding in report.findings} >= {"dead units", "collapse near"}
    assert "Activity() does" in str(report)
    probe = Probe(network(), inputs, every=10, measures=[Sparsity(), Activity()])
    for step in range(30):
        probe.step(0.9**step)
    assert probe.report().findings == ()


def test_all_that_measures_give_is_drawn(inputs):
    class Own(Measure):
        quantities = MappingProxyType(
            {
                "own": Quantity("what is mine"),
                "own_by_module": Quantity("what is mine", "module"),
                "other": Quantity("another thing", "head"),
            }
        )
        cost = "nothing"

        def measure(self, subject):
            return {"own": 1.0, "own_by_module": {"a": 0.5, "b": np.nan}, "other": {"c": 2.0}}

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    measures = [
        *(Sparsity(), Activity(), Own(), StepSize(optimizer)),
        *(GradientNoise(), BatchSharpness(), SpectralDensity(16, steps=3, starts=2)),
    ]
    batches = list(zip(inputs.split(8), inputs[:, :2].split(8), strict=True))
    probe = Probe(model.eval(), batches, measures=measures, loss_function=nn.MSELoss(), every=1)
    probe.step(0.1)
    drawing = draw_probe(probe.dataset())
    drawing.canvas.draw()
    told = " ".join(ax.get_ylabel().replace("\n", " ") for ax in drawing.axes)
    for measure in measures[1:]:
        for name, quantity in measure.quantities.items():
            if name not in ("spectrum", "edge", "batch_size") and not name.endswith("_error"):
                assert quantity.long_name in told
    assert "Hessian eigenvalue" in told
    only = Probe(model, batches, measures=[Own()])
    assert len(draw_probe(only.dataset()).axes) == 3
