"""`largestep sweep` as a user would run it, and kill it."""

import subprocess
import time

import pytest
from matplotlib.figure import Figure

from largestep import store
from largestep.experiments import find


def killed_after(process, blocks, size):
    """Kill a sweep once its journal has grown to a size; return what the journal holds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if blocks.exists() and blocks.stat().st_size > size:
            break
        time.sleep(0.01)
    process.kill()
    process.wait()
    return blocks.read_bytes()


def test_a_killed_sweep_goes_on_where_it_was(tmp_path, command, largestep):
    arguments = ["sweep", "diagonal", "--x", "step_size=0.05:0.3:12", "--y", "decay_at=0.2,0.5"]
    arguments += ["--seeds", "4", "--steps", "20000", "--threads", "1", "--out", str(tmp_path)]
    process = subprocess.Popen([command, *arguments], stderr=subprocess.DEVNULL)
    kept = killed_after(process, tmp_path / "blocks", 1500)
    assert kept
    done = largestep(*arguments)
    assert done.returncode == 0
    assert (tmp_path / "figure.png").exists()
    assert (tmp_path / "blocks").read_bytes().startswith(kept[: len(kept) // 2])
    total = int(done.stderr.rpartition(" of ")[2].partition(",")[0])
    assert 0 < total < 12 * 2 * 4


@pytest.mark.parametrize("name", [name for name, e in find().items() if e.swept])
def test_every_setting_can_be_swept(name, tmp_path, largestep, monkeypatch):
    monkeypatch.setattr("largestep.figures.sweep.draw_plane", lambda *_, **__: Figure((1, 1)))
    axes = ["--x", "step_size=0.0001", "--y", "factor=2"]
    done = largestep("sweep", name, *axes, "--steps", 20, "--seeds", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    plane = store.load(tmp_path / "results.nc")[0]["sweep"]
    assert plane.jacobian_rank.notnull().all()


def test_any_setting_is_an_axis_and_each_plane_has_a_figure(tmp_path, largestep):
    axes = ["--x", "noise=0,0.5", "--y", "n=40,80", "--over", "cap=2,4", "--over", "factor=2"]
    done = largestep("sweep", "diagonal", *axes, "--steps", 20, "--seeds", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure-cap=2-factor=2.png").exists()
    assert (tmp_path / "figure-cap=4-factor=2.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "2", "--threads", "1"], "name only one of --workers and --threads"),
        (["--workers", "2", "--scheduler", "tcp://a:1"], "only one of --scheduler and --workers"),
        (["--over", "cap=1", "--over", "cap=2"], "--over must name different settings"),
        (["--over", "caps=1"], "a setting must be one of network.d"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, message, tmp_path, largestep):
    plane = ["--x", "step_size=0.1", "--y", "factor=2", "--steps", 20, "--out", tmp_path]
    done = largestep("sweep", "diagonal", *plane, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
