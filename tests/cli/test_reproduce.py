"""`largestep reproduce`, `report` and `clean` as a user would run them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from largestep import _files, store
from largestep.experiments import frozen
from largestep.reproduction import report, reproduce

QUICK = ["reproduce", "shrinkage", "--quick", "--seeds", 3, "--out"]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    reproduce(["shrinkage"], out, quick=True, seeds=3)
    return out


@pytest.fixture(scope="module")
def two_reproduced(tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    reproduce(["one-dimension", "surface"], out, quick=True, seeds=2)
    return out


@pytest.fixture
def surface(two_reproduced, tmp_path):
    """Return a copy of results, with nothing but those of `surface`."""
    out = tmp_path / "results"
    shutil.copytree(two_reproduced / "surface", out / "surface")
    return out


@pytest.fixture
def frozen_as_it_stands(tmp_path, monkeypatch):
    """Freeze the claims as they are now, in another file."""
    monkeypatch.setattr(frozen, "FILE", tmp_path / "frozen.json")
    frozen.freeze()
    return frozen.FILE


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_reproduce_writes_everything(reproduced):
    folder = reproduced / "shrinkage"
    assert {p.name for p in folder.iterdir()} == {
        "results.nc",
        "figure.png",
        "figure.svg",
        "claims.json",
        "ends.csv",
        "config.json",
    }
    claims = json.loads((folder / "claims.json").read_text())
    assert {"claim", "verdict", "statistic", "interval"} <= set(claims[0])
    config = json.loads((folder / "config.json").read_text())
    assert config["seeds"] == [0, 1, 2]
    assert "numpy" in config["versions"]
    assert {"at", "seconds", "commit", "machine"} == set(config["made"])
    assert set(config["files"]) == {p.name for p in folder.iterdir()} - {"config.json"}


def test_the_page_stands_alone(reproduced):
    page = (reproduced / "report.html").read_text()
    assert 'src="data:image/svg+xml,' in page
    # Links may lead away, nothing else may.
    asked_for = re.findall(r"(?:src|srcset|action|poster)=\"(?!data:)|url\((?!%23)|@import", page)
    assert not asked_for
    assert re.findall(r"<link[^>]*>", page) == ['<link rel="icon" href="data:,">']
    assert "Noise that shrinks" in page
    assert "A quick look" in page
    # Where there are no results of it, it is said.
    assert "ResNet-18 on CIFAR-10" in page
    assert "not run here" in page


def test_fresh_seeds_confirm_what_was_frozen(surface, frozen_as_it_stands):
    reproduce(["surface"], surface, quick=True, seeds=2, confirm=True)
    again = surface / "confirmed" / "surface"
    made = {"results.nc", "claims.json", "ends.csv", "config.json"}
    assert {path.name for path in again.iterdir()} == made
    assert json.loads((again / "config.json").read_text())["seeds"] == [1000, 1001]
    assert json.loads((surface / "surface" / "config.json").read_text())["seeds"] == [0, 1]
    page = (surface / "report.html").read_text()
    assert "fresh seeds: <span" in page
    assert frozen.digest()[:16] in page
    assert "--confirm" in page


def test_the_page_names_what_is_broken_and_shows_the_rest(
    two_reproduced, reproduced, tmp_path, largestep
):
    shutil.copytree(two_reproduced, tmp_path, dirs_exist_ok=True)
    shutil.copytree(reproduced / "shrinkage", tmp_path / "shrinkage")
    (tmp_path / "surface" / "config.json").write_text('{"files": {"results.nc"')
    old = tmp_path / "shrinkage"
    (old / "claims.json").write_text('[{"claim": "It was so.", "verdict": "holds"}]')
    config = _files.read_json(old / "config.json", sealed=True)
    config["files"]["claims.json"] = _files.digest(old / "claims.json")
    _files.write_json(old / "config.json", config, sealed=True)
    written = largestep("report", tmp_path)
    assert written.returncode == 0
    assert "surface is left out of the page: " in written.stderr
    assert "config.json cannot be read" in written.stderr
    page = (tmp_path / "report.html").read_text()
    assert "config.json cannot be read" in page
    assert "checked by an older largestep" in page
    assert 'id="one-dimension-figure"' in page
    assert 'id="play-cobweb"' in page
    assert 'id="play-descent"' not in page
    assert "Teacher and student: not run here" in page


def test_claims_that_are_not_the_frozen_ones_are_not_confirmed(tmp_path, frozen_as_it_stands):
    written = json.loads(frozen_as_it_stands.read_text())
    written["surface"][0]["bound"] = 0.5
    frozen_as_it_stands.write_text(json.dumps(written))
    out = tmp_path / "results"
    with pytest.raises(ValueError, match=r"surface can't be confirmed.*lower test loss than"):
        reproduce(["surface"], out, quick=True, seeds=1, confirm=True)
    assert not out.exists()


def test_what_an_older_version_checked_is_left_out_of_the_page(surface):
    folder = surface / "surface"
    claims = json.loads((folder / "claims.json").read_text())
    for claim in claims:
        del claim["control"]
    _files.write_json(folder / "claims.json", claims)
    config = _files.read_json(folder / "config.json", sealed=True)
    config["files"]["claims.json"] = _files.digest(folder / "claims.json")
    _files.write_json(folder / "config.json", config, sealed=True)
    with pytest.raises(FileNotFoundError, match="surface --only-figures` checks it again"):
        report(surface)


def test_with_nothing_to_do_nothing_is_touched_or_loaded(reproduced, process):
    before = times(reproduced / "shrinkage")
    again = process(*QUICK, reproduced)
    assert again.returncode == 0
    assert again.stderr == ""
    assert times(reproduced / "shrinkage") == before


def test_damaged_results_are_computed_again(reproduced, largestep):
    stored = reproduced / "shrinkage" / "results.nc"
    whole, before = stored.read_bytes(), store.load(stored)[0]
    stored.write_bytes(whole[:1000])
    mended = largestep(*QUICK, reproduced)
    assert mended.returncode == 0
    assert "computing it again" in mended.stderr
    assert store.load(stored)[0].identical(before)


def test_a_flipped_bit_in_results_is_noticed(reproduced, largestep):
    stored = reproduced / "shrinkage" / "results.nc"
    whole = bytearray(stored.read_bytes())
    whole[len(whole) // 2] ^= 1
    stored.write_bytes(whole)
    left_out = largestep("report", reproduced)
    assert left_out.returncode == 1
    assert "results.nc is not as it was written" in left_out.stderr
    assert largestep(*QUICK, reproduced).returncode == 0
    assert largestep("report", reproduced).returncode == 0


@pytest.mark.parametrize("lost", ["figure.png", "figure.svg", "claims.json"])
def test_what_is_lost_is_made_again_from_the_results(reproduced, largestep, lost):
    before = times(reproduced / "shrinkage")
    content = (reproduced / "shrinkage" / lost).read_bytes()
    (reproduced / "shrinkage" / lost).unlink()
    assert largestep(*QUICK, reproduced).returncode == 0
    assert (reproduced / "shrinkage" / lost).read_bytes() == content
    assert times(reproduced / "shrinkage")["results.nc"] == before["results.nc"]


def test_figures_are_redrawn_without_computing(reproduced, largestep):
    figure = reproduced / "shrinkage" / "figure.png"
    figure.unlink()
    redrawn = largestep("reproduce", "shrinkage", "--only-figures", "--out", reproduced)
    assert redrawn.returncode == 0
    assert figure.exists()
    assert redrawn.stderr == ""
    assert largestep("report", reproduced).returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path, largestep):
    tmp_path.chmod(0o500)
    failed = largestep("reproduce", "shrinkage", "--out", tmp_path / "results")
    tmp_path.chmod(0o700)
    assert failed.returncode == 1
    assert "cannot write to the folder" in failed.stderr


AT_ONCE = """
from largestep import _progress
from largestep.cli import main

_progress._SECONDS_BETWEEN_LINES = 0.0
main()
"""


def test_an_interrupted_run_stops_at_once_and_leaves_no_litter(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            AT_ONCE,
            "reproduce",
            "shrinkage",
            "--seeds",
            "400",
            "--out",
            str(tmp_path),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    # The first line of progress tells that trajectories run.
    assert "shrinkage" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "takes up what is finished" in errors
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.rglob(".*")] == [".lock"]
