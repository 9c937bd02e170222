"""The command line as a user would run it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from largestep import store

COMMAND = [str(Path(sys.executable).with_name("largestep"))]


def largestep(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options
    )


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    done = largestep("reproduce", "diagonal", "--quick", "--seeds", 3, "--out", out)
    assert done.returncode == 0, done.stderr
    assert str(out / "report.html") in done.stdout
    return out


def test_reproduce_writes_everything(reproduced):
    folder = reproduced / "diagonal"
    assert {p.name for p in folder.iterdir()} == {
        "results.nc",
        "figure.png",
        "figure.svg",
        "claims.json",
        "config.json",
    }
    claims = json.loads((folder / "claims.json").read_text())
    assert {"claim", "verdict", "statistic", "interval"} <= set(claims[0])
    config = json.loads((folder / "config.json").read_text())
    assert config["seeds"] == [0, 1, 2]
    assert "numpy" in config["versions"]


def test_the_page_stands_alone(reproduced):
    page = (reproduced / "report.html").read_text()
    assert "data:image/svg+xml;base64," in page
    assert "http://" not in page
    assert "https://" not in page
    assert "Diagonal linear networks" in page
    assert "A quick look" in page


def test_finished_work_is_taken_up_and_damaged_work_done_again(reproduced):
    stored = reproduced / "diagonal" / "results.nc"
    before = stored.stat().st_mtime_ns
    again = largestep("reproduce", "diagonal", "--quick", "--seeds", 3, "--out", reproduced)
    assert again.returncode == 0
    assert stored.stat().st_mtime_ns == before
    whole = stored.read_bytes()
    stored.write_bytes(whole[:1000])
    mended = largestep("reproduce", "diagonal", "--quick", "--seeds", 3, "--out", reproduced)
    assert mended.returncode == 0
    assert "computing it again" in mended.stderr
    assert store.load(stored)[0]["sgd"].identical(store.load(stored)[0]["sgd"])


def test_figures_are_redrawn_without_computing(reproduced):
    figure = reproduced / "diagonal" / "figure.png"
    figure.unlink()
    redrawn = largestep("reproduce", "diagonal", "--only-figures", "--out", reproduced)
    assert redrawn.returncode == 0
    assert figure.exists()
    assert redrawn.stderr == ""
    assert largestep("report", reproduced).returncode == 0


def test_the_list_names_every_experiment():
    listed = largestep("list")
    assert listed.returncode == 0
    assert "diagonal-gd" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "resnet1"], "experiment must be one of"),
        (["reproduce", "--seeds", "0"], "--seeds"),
        (["reproduce", "--threads", "0"], "--threads"),
        (["reproduce", "diagonal", "--out", __file__], "is a file: name a folder"),
        (["reproduce", "diagonal", "--only-figures", "--out", "{empty}"], "no results at"),
        (["report", "{empty}"], "holds no results"),
        (["fly"], "No such command"),
    ],
)
def test_mistakes_get_one_reason_and_a_failing_status(arguments, message, tmp_path):
    failed = largestep(*[a.replace("{empty}", str(tmp_path)) for a in arguments])
    assert failed.returncode != 0
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    failed = largestep("reproduce", "diagonal", "--out", tmp_path / "results")
    tmp_path.chmod(0o700)
    assert failed.returncode == 1
    assert "cannot write to the folder" in failed.stderr


def test_an_interrupted_run_stops_at_once_and_leaves_no_litter(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "reproduce", "diagonal", "--seeds", "400", "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "takes up what is finished" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.rglob(".*"))


def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    arguments = ["sweep", "diagonal", "--x", "step_size=0.05:0.3:12", "--y", "decay_at=0.2,0.5"]
    arguments += ["--seeds", "8", "--steps", "60000", "--threads", "1", "--out", str(tmp_path)]
    process = subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.DEVNULL)
    columns = tmp_path / "columns"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (columns / "0001.nc").exists():
        time.sleep(0.02)
    process.kill()
    process.wait()
    finished = {p: p.stat().st_mtime_ns for p in columns.glob("0*.nc")}
    assert 2 <= len(finished) < 12
    assert largestep(*arguments).returncode == 0
    assert (tmp_path / "figure.png").exists()
    assert all(p.stat().st_mtime_ns == then for p, then in finished.items())
