"""The experiments on deep networks, on a few small images and with narrow networks."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from largestep import experiments
from largestep.cli import main
from largestep.cli.app import app
from largestep.deep import data, training
from largestep.deep import models as deep_models
from largestep.deep.data import Dataset
from largestep.deep.training import presets
from largestep.experiments import Budget
from largestep.experiments.andriushchenko2023.glyphs import compute as glyphs
from largestep.experiments.deep_networks import LARGE, LATE
from largestep.experiments.deep_phases import best
from largestep.experiments.extensions.compaction import compute as compaction
from largestep.experiments.extensions.compaction_glyphs import compute as compaction_glyphs
from largestep.experiments.extensions.digits_hold import compute as digits_hold
from largestep.experiments.li2023.transformer import compute as transformer
from largestep.experiments.li2023.transformer import show as lazy
from largestep.experiments.phases import stabilises_until_decay
from largestep.experiments.trainings import run_all, survived
from largestep.experiments.wortsman2023.sensitivity import compute as sensitivity
from largestep.experiments.wortsman2023.sensitivity import show as rates
from largestep.jobs import processes
from largestep.store import Results

VERDICTS = ("holds", "does not hold", "undecided", "not discriminating")
BUDGET = Budget([0, 1], quick=True, threads=1)


@pytest.fixture
def tiny(monkeypatch, narrow):
    for name, preset in presets.PRESETS.items():
        monkeypatch.setitem(presets.PRESETS, name, replace(preset, batch_size=8, train=None))
    monkeypatch.setattr(data, "load", lambda name, *_, **__: images(name))


def images(name="made up"):
    """Return 24 + 16 colour images of two classes, one brighter than the other."""
    rng = np.random.default_rng(0)

    def part(n):
        labels = torch.arange(n) % 2
        noise = torch.from_numpy(rng.integers(0, 128, (n, 3, 32, 32)).astype(np.uint8))
        return noise + (100 * labels[:, None, None, None]).to(torch.uint8), labels

    return Dataset.of(name, *part(24), *part(16), 2)


def settings(**changes):
    narrow = {"epochs": 2, "batch_size": 8, "evaluations": 3, "model_settings": {"widths": (2, 3)}}
    return training.Training("small_resnet", **{"step_size": 0.1, **narrow, **changes})


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("resnet18", ["cifar10/plain", "cifar10/sota"]),
        (
            "densenet100",
            [
                f"{d}/{s}"
                for d in ("cifar10", "cifar100", "tiny-imagenet")
                for s in ("plain", "sota")
            ],
        ),
        ("glyphs-32", [f"{n}/{s}" for n in ("resnet18", "densenet100") for s in ("plain", "sota")]),
    ],
)
def test_the_large_experiments_compute_claim_and_draw(name, runs, tiny, tmp_path):
    experiment = experiments.get(name)
    results = experiment.compute(replace(BUDGET, seeds=[0]))
    assert [node.path for node in results.leaves] == [f"/{run}" for run in runs]
    for dataset in results.leaves:
        assert set(dataset.sizes) == {"schedule", "seed", "step", "layer"}
        assert dataset.sizes["schedule"] == 5
        assert dataset.seed.values.tolist() == [0]
        assert dataset.step.values.tolist() == [0, 1, 2, 3]
    found = [claim.check(results) for claim in experiment.claims]
    assert len({(c["claim"], c["measured"]) for c in found}) == len(found) == 11 * len(runs)
    assert all(c["verdict"] in VERDICTS for c in found)
    figures = experiment.draw(results)
    assert len(figures) == len(runs)
    figures["figure"].savefig(tmp_path / "figure.png")


def test_glyphs_are_claimed_network_by_network(tiny, tmp_path):
    experiment = experiments.get("glyphs")
    results = experiment.compute(replace(BUDGET, seeds=[0]))
    runs = [f"{n}/{s}" for n in ("batch-norm", "no-norm", "densenet") for s in ("plain", "sota")]
    assert [node.path for node in results.leaves] == [f"/{run}" for run in runs]
    assert results["densenet/sota"].schedule.values.tolist() == [
        "small",
        "late steps alone",
        *(f"large until {length}" for length in ("10%", "30%", "50%")),
        "LossStabilization",
    ]
    found = [claim.check(results) for claim in experiment.claims]
    assert len({(c["claim"], c["measured"]) for c in found}) == len(found) == 16 * len(runs)
    assert all(c["control"] is not None for c in found)
    experiment.draw(results)["figure"].savefig(tmp_path / "figure.png")


def test_all_large_steps_of_glyphs_have_the_same_late_steps():
    for network in glyphs.NETWORKS.values():
        for setting in network.settings:
            chosen = network.schedules(setting)
            late = [chosen[name].step_size for name in (LATE, *LARGE)]
            for t in (0.5, 0.89, 0.9, 0.99):
                assert len({float(schedule(t)[0]) for schedule in late}) == 1
            assert chosen[LATE].step_size(0.0) == late[1](0.6)


def test_glyphs_are_cropped_but_never_flipped():
    for name, preset in presets.PRESETS.items():
        if "glyphs" in name:
            assert presets.training(name, setting="sota").augment == "crops"
            assert presets.training(name, setting="plain").augment is False
            assert data.Glyphs.named(preset.datasets[0]).name == preset.datasets[0]


def test_a_loss_that_stays_until_the_decay_and_one_that_falls():
    step = np.arange(0, 101, 2)
    stays = np.where(step <= 50, 1.0, 0.1)
    falls = 10.0 ** (-step / 50)
    runs = np.stack([stays, falls])[:, None, :].repeat(5, axis=1)
    dataset = xr.Dataset(
        {"running_loss": (("schedule", "seed", "step"), runs)},
        coords={"schedule": ["large", "small"], "seed": range(5), "step": step},
    )
    results = Results.from_dict({"run": dataset})
    claim = stabilises_until_decay("run", "large", "small", until=0.5, bound=0.1)
    found = claim.check(results)
    assert found["verdict"] == "holds"
    assert found["statistic"] == pytest.approx(0.0, abs=1e-12)
    assert found["control"]["verdict"] == "does not hold"
    # Medians at 32 % and 44 % of training, and the end.
    assert found["control"]["statistic"] == pytest.approx(12 / 68, rel=0.1)


def test_compaction_of_glyphs_costs_what_it_says(tiny, monkeypatch, tmp_path):
    chosen = compaction_glyphs.schedules()
    monkeypatch.setattr(
        compaction_glyphs, "schedules", lambda: {k: _narrow(v) for k, v in chosen.items()}
    )
    monkeypatch.setattr(compaction_glyphs, "BISECTIONS", 2)
    monkeypatch.setattr(compaction_glyphs, "SETTINGS", compaction_glyphs.SETTINGS[::2])
    experiment = experiments.get("compaction-glyphs")
    results = experiment.compute(replace(BUDGET, seeds=[0]))
    found = results["glyphs"].dataset
    assert dict(found.sizes) == {"schedule": 8, "seed": 1, "way": 2}
    assert (found.parameters.fillna(1) <= 1).all()
    for claim in experiment.claims:
        assert claim.check(results)["verdict"] in ("holds", "does not hold", "undecided")
    experiment.draw(results)["figure"].savefig(tmp_path / "figure.png")


def test_what_has_been_kept_is_taken_up(tiny, tmp_path, monkeypatch):
    experiment = experiments.get("resnet18")
    kept = replace(BUDGET, seeds=[0], folder=tmp_path)
    first = experiment.compute(kept)
    assert len(list(tmp_path.glob("*/results.nc"))) == 10
    monkeypatch.setattr(training.Run, "take_step", lambda self: pytest.fail("it trains again"))
    again = experiment.compute(kept)
    xr.testing.assert_identical(first, again)


def test_lost_runs_are_masked_and_counted(without_processes):
    schedules = {"small": settings(), "huge": settings(step_size=1e9)}
    found = run_all("lost", Budget([0, 1]), schedules, images(), survived)
    assert found.diverged_at.sel(schedule="small").isnull().all()
    ended = found.diverged_at.sel(schedule="huge")
    assert ended.notnull().all()
    huge = found.sel(schedule="huge")
    late = found.step >= ended
    assert late.isel(step=-1).all()
    for name in ("train_loss", "test_error", "distinct"):
        assert huge[name].where(late).isnull().all()
        assert found[name].sel(schedule="small").notnull().all()
    assert huge.train_loss.sel(step=0).notnull().all()


def test_masking_starts_with_a_collapse_that_stays():
    results = xr.Dataset(
        {
            "test_error": ("step", [0.9, 0.5, 0.9]),
            "step_size": ("step", [1.0, 2.0, 3.0]),
            "diverged_at": np.nan,
            "collapsed_at": 20.0,
        },
        coords={"step": [0, 10, 20]},
    )
    found = survived(training.Trained(None, None, results), settings(), images())
    np.testing.assert_array_equal(found.test_error, [0.9, 0.5, np.nan])
    np.testing.assert_array_equal(found.step_size, [1.0, 2.0, 3.0])
    assert found.diverged_at == 20.0


@pytest.fixture
def loaded_processes(loaded, monkeypatch):
    """Start the processes that train with everything loaded."""
    monkeypatch.setattr(processes, "get_context", lambda _: loaded)


def test_results_do_not_depend_on_how_many_run_at_once(loaded_processes, request):
    arguments = ("threads", Budget([0, 1], threads=2), {"a": settings()}, images(), survived)
    side_by_side = run_all(*arguments)
    request.getfixturevalue("without_processes")
    xr.testing.assert_identical(side_by_side, run_all(*arguments))


def test_trained_elsewhere_they_are_the_same_and_their_folders_come_back(
    without_processes, tmp_path, monkeypatch
):
    def run_in(folder, executor=None):
        budget = Budget([0, 1], folder=folder, executor=executor)
        return run_all("elsewhere", budget, {"a": settings()}, images(), survived)

    here = run_in(tmp_path / "here")
    folders = set()
    train = training.train

    def noted(*arguments, out, **given):
        folders.add(out)
        return train(*arguments, out=out, **given)

    monkeypatch.setattr(training, "train", noted)
    with ThreadPoolExecutor(1) as executor:
        there = run_in(tmp_path / "there", executor)
        assert len(folders) == 2
        assert not any(tmp_path in folder.parents for folder in folders)
        xr.testing.assert_identical(there, here)
        held = [{p.name for p in (tmp_path / w).glob("*/[!.]*")} for w in ("here", "there")]
        assert held[0] == held[1] >= {"results.nc", "model.safetensors"}
        monkeypatch.setattr(training.Run, "take_step", lambda self: pytest.fail("it trains again"))
        xr.testing.assert_identical(run_in(tmp_path / "there", executor), here)


def test_a_checkpoint_goes_along(without_processes, tmp_path, monkeypatch):
    budget = Budget([0], folder=tmp_path / "there")
    steps, take_step = [], training.Run.take_step

    def killed(self):
        if len(steps) == 2:
            raise KeyboardInterrupt
        steps.append(self.step)
        take_step(self)

    def run_once(budget):
        long = settings(epochs=4)
        return run_all("elsewhere", budget, {"a": long}, images(), survived)

    whole = run_once(Budget([0]))
    monkeypatch.setattr(training.Run, "take_step", killed)
    monkeypatch.setattr(training, "train", partial(training.train, checkpoint_seconds=0.0))
    with pytest.raises(KeyboardInterrupt):
        run_once(budget)
    monkeypatch.undo()
    taken = []
    monkeypatch.setattr(
        training.Run, "take_step", lambda self: (taken.append(self.step), take_step(self))
    )
    with ThreadPoolExecutor(1) as executor:
        xr.testing.assert_identical(
            run_once(replace(budget, executor=executor)).drop_attrs(), whole.drop_attrs()
        )
    assert taken[0] == 2


def ended_from_outside(trained, job, examples):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_process_is_named(loaded_processes):
    with pytest.raises(ChildProcessError, match=r"ended from outside, .*fewer --threads"):
        run_all("lost", Budget([0], threads=1), {"a": settings()}, images(), ended_from_outside)


def test_on_a_gpu_ctrl_c_stops_what_the_command_catches(monkeypatch):
    def stop(*_, **__):
        raise training.Stopped("stopped at step 1 of 2", signal.SIGINT)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(training, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        run_all("gpu", Budget([0]), {"a": settings()}, images(), survived)


def in_session(process):
    """Return the processes of a session that still run."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-s", str(process.pid)], capture_output=True, text=True
    ).stdout.splitlines()
    return [line for line in listed if "Z" not in line.split()[1]]


def in_a_session_of_its_own(arguments, digits, errors):
    os.setsid()
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    # What is narrow where it starts is narrow in the processes that train.
    presets.PRESETS["digits"] = digits
    sys.argv = ["largestep", *arguments]
    main()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_it_leaves_neither_processes_nor_noise_and_goes_on(
    number, tmp_path, narrow, loaded
):
    errors, out = tmp_path / "errors", tmp_path / "results"
    options = ["--quick", "--seeds", "1", "--threads", "2", "--out", str(out)]
    arguments = ["reproduce", "digits", *options]
    process = loaded.Process(
        target=in_a_session_of_its_own, args=(arguments, presets.PRESETS["digits"], errors)
    )
    process.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(out.glob("runs/*/.lock")):
        time.sleep(0.01)
    if number == signal.SIGINT:  # as a terminal would send it: to all
        os.killpg(process.pid, number)
    else:
        os.kill(process.pid, number)
    process.join(timeout=20)
    while time.monotonic() < deadline and in_session(process):
        time.sleep(0.01)
    assert not in_session(process)
    if number == signal.SIGINT:
        assert process.exitcode == 130
        *progress, last = errors.read_text().splitlines()
        assert last == "Stopped. The same command takes up what is finished."
        assert all(line.startswith("digits, digits, plain, runs") for line in progress)
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.exception
        assert not list(out.rglob(".checkpoint*"))
        assert len(list(out.glob("runs/*/results.nc"))) == 5


def test_missing_data_are_one_line(tmp_path):
    arguments = ["reproduce", "densenet100", "--data", str(tmp_path), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    message = str(done.exception)
    assert isinstance(done.exception, FileNotFoundError)
    assert f"CIFAR-10 is not in {tmp_path}" in message
    assert "cifar-10-binary.tar.gz" in message
    assert "--data" in message
    assert "\n" not in message


def test_compaction_measures_and_draws_every_network(tiny, monkeypatch):
    chosen = compaction.schedules()
    monkeypatch.setattr(compaction, "schedules", lambda: {k: _narrow(v) for k, v in chosen.items()})
    monkeypatch.setattr(compaction, "TUNING_EPOCHS", 1)
    experiment = experiments.get("compaction")
    results = experiment.compute(Budget([0], quick=True, threads=1, data=Path("there")))
    assert set(results) == {"digits", "resnet18"}
    found = results["digits"]
    assert found.sizes == {"schedule": 7, "seed": 1, "way": 2}
    assert (found.parameters.fillna(1) <= 1).all()
    assert (found.pruned_parameters <= found.parameters).where(found.parameters.notnull(), 1).all()
    exact = found.sel(way="exact")
    assert (exact.held_out_difference.fillna(0) <= 1e-4).all()
    for claim in experiment.claims:
        assert claim.check(results)["verdict"] in VERDICTS
    assert list(experiment.draw(results)) == ["figure", "resnet18"]


def test_a_network_that_was_lost_is_not_compacted(tiny):
    found = run_all(
        "lost", Budget([0], threads=1), {"large": settings(step_size=1e9)}, images(), _compacted
    )
    assert found.to_array().isnull().all()


def _compacted(*given):
    return compaction.compacted(*given)


def _narrow(job):
    return replace(job, epochs=10, batch_size=8, model_settings={"widths": (4, 6)})


def test_holding_is_compared_with_the_best_of_a_grid(tiny, monkeypatch):
    grid = {"narrow": ({"model_settings": {"widths": (2, 3)}}, (0.01, 0.1, 1e9))}
    monkeypatch.setattr(digits_hold, "NETWORKS", grid)
    results = digits_hold.compute(BUDGET)
    assert results["narrow"].diverged_at.sel(schedule="1e+09").notnull().all()
    assert best(results["narrow"]) in ("0.01", "0.1")
    assert experiments.get("digits-hold").draw(results)["figure"].axes


@pytest.fixture
def letters(monkeypatch, without_processes):
    """Return 64 sequences of eight tokens, each the one before it plus one or two."""
    steps = torch.from_numpy(np.random.default_rng(0).integers(1, 3, 2 * 513))
    train, test = (steps.cumsum(0) % 5).view(2, -1)
    tokens = data.Sequences.of("letters", train, test, context=8, classes=5)
    monkeypatch.setattr(data, "load", lambda *_, **__: tokens)
    return tokens


@pytest.mark.filterwarnings("ignore:κ should be")  # two steps are too few to find it
def test_lazy_neurons_compute_claim_and_draw(letters, monkeypatch):
    monkeypatch.setattr(transformer, "STEP_SIZES", (1e-4, 1e-2))
    monkeypatch.setattr(transformer, "KAPPAS", (0.5,))
    preset = replace(presets.PRESETS["transformer"], model_settings={"width": 8, "heads": 2})
    monkeypatch.setitem(presets.PRESETS, "transformer", preset)
    monkeypatch.setattr(lazy, "STEP_SIZES", (1e-4, 1e-2))
    results = transformer.compute(BUDGET)
    assert list(results[transformer.GRID].schedule.values) == ["0.0001", "0.01"]
    for dataset in (node.dataset for node in results.values()):
        end = dataset.isel(step=-1)
        np.testing.assert_allclose(lazy.share(end), (end.raw[..., 0] + end.raw[..., 1]) / 2)
        assert (dataset.step_size.values[..., -1] < dataset.step_size.values[..., 1]).all()
    assert float(results[transformer.GRID].step_size.sel(schedule="0.01")[0, 1]) == 0.01
    assert lazy.best(results) == "0.01"
    assert list(experiments.get("transformer").draw(results)) == ["figure"]


def test_the_sensitivity_to_the_step_size_by_hand(letters, monkeypatch):
    losses = xr.DataArray([[[4.0, 1.0], [4.0, 2.0], [4.0, 9.0], [4.0, np.nan]]])
    dataset = xr.Dataset({"test_loss": losses.rename(dim_0="seed", dim_1="schedule", dim_2="step")})
    results = Results.from_dict({sensitivity.PLAIN: dataset})
    np.testing.assert_allclose(rates._sensitivity(sensitivity.PLAIN, results), (0 + 1 + 3 + 3) / 4)


def test_sensitivity_computes_claims_and_draws(letters):
    results = sensitivity.compute(Budget([0], quick=True, threads=1))
    normalised = results[sensitivity.NORMALISED].largest_logit
    assert float(normalised.max()) <= 4 * (1 + 1e-6)
    assert float(results[sensitivity.PLAIN].largest_logit.max()) > 4
    for claim in experiments.get("sensitivity").claims:
        assert claim.check(results)["verdict"] in VERDICTS
    assert list(experiments.get("sensitivity").draw(results)) == ["figure"]


def test_the_largest_logit_is_that_of_what_attention_sees(letters):
    model = deep_models.build("transformer", 5, context=8, width=8, heads=2)
    found = sensitivity.largest_logit(model, letters.x_test)
    seen = []
    for stage in (model.stage1, model.stage2):
        stage.attention.register_forward_hook(
            lambda attention, inputs, _: seen.append(attention.logits(*inputs))
        )
    model(letters.x_test)
    finite = torch.stack(seen)[torch.stack(seen).isfinite()]
    assert found == pytest.approx(finite.abs().max().item())
    torch.nn.init.constant_(model.embedding.positions, float("nan"))
    assert np.isnan(sensitivity.largest_logit(model, letters.x_test))
