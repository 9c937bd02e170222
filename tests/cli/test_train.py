"""`largestep train` as a user would run it, and kill it."""

import os
import random
import signal
import sys
import time

import pytest
import torch
import xarray as xr
from typer.testing import CliRunner

from largestep import store
from largestep.cli import main
from largestep.cli.app import app
from largestep.deep import data
from largestep.deep.loading import load_data
from largestep.deep.training import presets, train


def killed_again_and_again(arguments, out, output, errors):
    for stream, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    sys.argv = ["largestep", *arguments, "--out", str(out)]
    latest = out / "checkpoint.safetensors"

    def start():
        pid = os.fork()
        if pid == 0:
            main()
        return pid

    def ended(pid):
        print("ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)

    for number in (signal.SIGTERM, *[signal.SIGKILL] * 3):
        before = latest.stat().st_mtime_ns if latest.exists() else 0
        pid = start()
        while not (latest.exists() and latest.stat().st_mtime_ns != before):
            time.sleep(0.0005)
        time.sleep(random.uniform(0.0, 0.03))
        os.kill(pid, number)
        ended(pid)
    ended(start())


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_was_not(loaded, tmp_path):
    out, whole = tmp_path / "killed", tmp_path / "whole"
    options = "--epochs 3 --evaluations 3 --label-noise 0.1 --averaging 0.9 --device cpu"
    options += " --resume --checkpoint-seconds 0"
    output, errors = tmp_path / "output", tmp_path / "errors"
    killer = loaded.Process(
        target=killed_again_and_again,
        args=(["train", "digits", *options.split()], out, output, errors),
        daemon=True,
    )
    killer.start()
    killer.join(timeout=300)
    stdout, stderr = output.read_text(), errors.read_text()
    codes = [line.split()[-1] for line in stdout.splitlines() if "ended with" in line]
    assert codes == [f"{128 + signal.SIGTERM}", *[f"{-signal.SIGKILL}"] * 3, "0"], stderr
    assert "holds a checkpoint: the same command with --resume goes on" in stderr
    assert "test loss" in stdout
    assert "stage3" in stdout
    assert f"Results, weights and figure are in {out}" in stdout
    assert {path.name for path in out.iterdir()} == {
        ".lock",
        "averaged.safetensors",
        "config.json",
        "figure.png",
        "figure.svg",
        "model.safetensors",
        "results.nc",
    }

    settings = presets.training("digits", epochs=3, evaluations=3, label_noise=0.1, averaging=0.9)
    results = train(settings, data.load("digits", train=500), out=whole, device="cpu").results
    for name in ("model.safetensors", "averaged.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    xr.testing.assert_identical(store.load(out / "results.nc")[0]["training"].to_dataset(), results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist"], "preset must be one of digits, glyphs"),
        (["digits", "--schedule", "slow"], "must be one of small, large, late, hold, edge"),
        (["digits", "--setting", "best"], "setting must be one of plain, sota"),
        (["digits", "--phase", "1"], "phase must be above 0 and at most 0.9"),
        (["digits", "--schedule", "hold", "--step-size", "1"], "step_size must be left out"),
        (["digits", "--model", "lenet"], "model must be one of small_resnet"),
        (["digits", "--dataset", "mnist"], "no data set is called 'mnist'"),
        (["digits", "--device", "tpu"], "device must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        (["digits", "--device", "meta"], "device must be auto, cpu, cuda or cuda:N, got 'meta'"),
        (
            ["digits", "--optimizer", "Adem", "--step-size", "1"],
            "optimizer must be one of Adafactor",
        ),
        (["digits", "--optimizer", "AdamW"], "step_size must be given for AdamW"),
        (["digits", "--epochs", "0"], "epochs must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(arguments, message, tmp_path):
    done = CliRunner().invoke(app, ["train", *arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert message in str(done.exception)
    assert not list(tmp_path.glob("out/*.*"))


def test_glyphs_of_any_settings_are_trained_on_and_brought_back(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda name: str(tmp_path / name))
    name = "glyphs:images=64,test_images=20,classes=12"
    out = tmp_path / "run"
    options = f"--schedule late --epochs 1 --evaluations 1 --out {out} --dataset {name}"
    done = CliRunner().invoke(app, ["train", "glyphs", *options.split()])
    assert done.exit_code == 0, done.exception
    (x, _), (x_test, _) = load_data(None, None, str(out))
    letters = data.load(name)
    assert torch.equal(x, letters.normalise(letters.x_train))
    assert torch.equal(x_test, letters.normalise(letters.x_test))


def test_a_file_is_no_folder_to_train_in(tmp_path):
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["train", "digits", "--out", str(tmp_path / "file")])
    assert "is a file: name a folder" in str(done.exception)


def test_a_run_without_a_future_is_named(tmp_path):
    # Batch normalisation keeps the loss finite, but after such steps no unit is alive.
    options = f"--step-size 16 --epochs 6 --evaluations 6 --out {tmp_path}"
    done = CliRunner().invoke(app, ["train", "digits", *options.split()])
    assert done.exit_code == 0
    assert "The network collapsed after" in done.output
