"""`largestep reproduce`, `report` and `clean` as a user would run them."""

import json
import os
import signal
import subprocess

import pytest

from largestep import store
from largestep.reproduction import reproduce

QUICK = ["reproduce", "diagonal", "--quick", "--seeds", 3, "--out"]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    reproduce(["diagonal"], out, quick=True, seeds=3)
    return out


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


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
    assert set(config["files"]) == {p.name for p in folder.iterdir()} - {"config.json"}


def test_the_page_stands_alone(reproduced):
    page = (reproduced / "report.html").read_text()
    assert "data:image/svg+xml;base64," in page
    assert "http://" not in page
    assert "https://" not in page
    assert "Diagonal linear networks" in page
    assert "A quick look" in page


def test_with_nothing_to_do_nothing_is_touched_or_loaded(reproduced, process):
    before = times(reproduced / "diagonal")
    again = process(*QUICK, reproduced)
    assert again.returncode == 0
    assert again.stderr == ""
    assert times(reproduced / "diagonal") == before


def test_damaged_results_are_computed_again(reproduced, largestep):
    stored = reproduced / "diagonal" / "results.nc"
    whole, before = stored.read_bytes(), store.load(stored)[0]
    stored.write_bytes(whole[:1000])
    mended = largestep(*QUICK, reproduced)
    assert mended.returncode == 0
    assert "computing it again" in mended.stderr
    assert store.load(stored)[0].identical(before)


def test_a_flipped_bit_in_results_is_noticed(reproduced, largestep):
    stored = reproduced / "diagonal" / "results.nc"
    whole = bytearray(stored.read_bytes())
    whole[len(whole) // 2] ^= 1
    stored.write_bytes(whole)
    left_out = largestep("report", reproduced)
    assert left_out.returncode == 1
    assert "results.nc is damaged: it is not as it was written" in left_out.stderr
    assert largestep(*QUICK, reproduced).returncode == 0
    assert largestep("report", reproduced).returncode == 0


@pytest.mark.parametrize("lost", ["figure.png", "figure.svg", "claims.json"])
def test_what_is_lost_is_made_again_from_the_results(reproduced, largestep, lost):
    before = times(reproduced / "diagonal")
    content = (reproduced / "diagonal" / lost).read_bytes()
    (reproduced / "diagonal" / lost).unlink()
    assert largestep(*QUICK, reproduced).returncode == 0
    assert (reproduced / "diagonal" / lost).read_bytes() == content
    assert times(reproduced / "diagonal")["results.nc"] == before["results.nc"]


def test_figures_are_redrawn_without_computing(reproduced, largestep):
    figure = reproduced / "diagonal" / "figure.png"
    figure.unlink()
    redrawn = largestep("reproduce", "diagonal", "--only-figures", "--out", reproduced)
    assert redrawn.returncode == 0
    assert figure.exists()
    assert redrawn.stderr == ""
    assert largestep("report", reproduced).returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path, largestep):
    tmp_path.chmod(0o500)
    failed = largestep("reproduce", "diagonal", "--out", tmp_path / "results")
    tmp_path.chmod(0o700)
    assert failed.returncode == 1
    assert "cannot write to the folder" in failed.stderr


def test_an_interrupted_run_stops_at_once_and_leaves_no_litter(tmp_path, command):
    process = subprocess.Popen(
        [command, "reproduce", "diagonal", "--seeds", "400", "--out", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # The first line of progress tells that trajectories run.
    assert "diagonal" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "takes up what is finished" in errors
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.rglob(".*")] == [".lock"]
