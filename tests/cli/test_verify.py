"""`largestep verify`, and what else reads what was stored."""

import random
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure

from largestep import _files, provenance, store
from largestep.deep.training import Training, train
from largestep.experiments import trainings
from largestep.reproduction import report, reproduce
from largestep.verification import verify


def states(folder):
    return {
        str(found.path.relative_to(folder)): found.state
        for found in verify(folder)
        if found.state != "whole"
    }


@pytest.fixture(scope="module")
def kept(tmp_path_factory, few_images):
    out = tmp_path_factory.mktemp("results")
    reproduce(["diagonal"], out, quick=True, seeds=3)
    settings = Training("small_resnet", 0.1, 1, 20, {"widths": [4]}, evaluations=1, averaging=0.5)
    train(settings, few_images, out=out / "runs" / "one")
    maker = trainings.made_by("small_resnet")
    _files.write_json(out / "runs" / "one" / "made_by.json", maker, sealed=True)
    return out


@pytest.fixture
def folder(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "copied")


def test_what_was_written_is_whole_wherever_it_lies(folder, largestep):
    assert states(folder) == {}
    done = largestep("verify", folder)
    assert done.returncode == 0
    assert "11 files are whole" in done.stdout


def test_damaged_missing_and_left_over_files_are_named(folder, largestep):
    run, diagonal = folder / "runs" / "one", folder / "diagonal"
    (run / "model.safetensors").unlink()
    (diagonal / "figure.svg").unlink()
    left = diagonal / f".figure-{'0' * 32}.svg"
    left.touch()
    for path in (run / "averaged.safetensors", diagonal / "claims.json", run / "config.json"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    expected = {
        "runs/one/model.safetensors": "missing",
        "runs/one/averaged.safetensors": "damaged",
        "runs/one/config.json": "damaged",
        "diagonal/figure.svg": "missing",
        "diagonal/claims.json": "damaged",
        f"diagonal/{left.name}": "left over",
    }
    found = states(folder)
    found.pop("runs/one/model.safetensors", None)  # its config no longer says that it is a run
    expected.pop("runs/one/model.safetensors")
    assert found == expected
    done = largestep("verify", folder)
    assert done.returncode == 1
    assert "claims.json: damaged: it is not the file that config.json names" in done.stdout


def test_what_other_code_or_versions_made_is_told_apart(folder, monkeypatch, largestep):
    closure = provenance.closure

    def changed(*roots, **settings):
        found = closure(*roots, **settings)
        return provenance.Closure(found.definitions, "other", found.versions)

    def updated(*roots, **settings):
        found = closure(*roots, **settings)
        return provenance.Closure(found.definitions, found.digest, {**found.versions, "numpy": "9"})

    for change, state in ((changed, "stale"), (updated, "of another version")):
        monkeypatch.setattr(provenance, "closure", change)
        assert states(folder) == {"diagonal/results.nc": state, "runs/one": state}
        assert largestep("verify", folder).returncode == 0


def test_nothing_of_ours_is_told(tmp_path, largestep):
    (tmp_path / "notes.json").write_text("mine")
    done = largestep("verify", tmp_path)
    assert done.returncode == 1
    assert "holds nothing that largestep has written" in done.stderr
    assert largestep("verify", tmp_path / "gone").returncode == 1


def test_every_flipped_bit_is_noticed_by_every_reader(folder):
    """Of a hundred damages of each file that a result consists of, none passes."""
    draw = random.Random(0)
    for path in (
        folder / "diagonal" / "results.nc",
        folder / "runs" / "one" / "results.nc",
        folder / "diagonal" / "figure.svg",
        folder / "diagonal" / "claims.json",
    ):
        whole = path.read_bytes()
        for _ in range(100):
            damaged = bytearray(whole)
            bit = draw.randrange(8 * len(whole))
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            if path.suffix == ".nc":
                with pytest.raises(ValueError, match=r"not what was written|cut short"):
                    store.load(path)
            if path.parent.name == "diagonal":
                with pytest.raises(FileNotFoundError, match="is left out of the page"):
                    report(folder)
        path.write_bytes(whole)
    report(folder)


def test_coordinates_and_divergences_are_covered(tmp_path):
    dataset = xr.Dataset(
        {"diverged_at": ("seed", [np.nan, 3.0])}, coords={"seed": [0, 1], "step": [0, 5, 2**40]}
    )
    path = tmp_path / "results.nc"
    store.save(path, store.Results.from_dict({"one": dataset}), {"key": "k"})
    whole = path.read_bytes()
    for at in range(0, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"results\.nc cannot be read as results"):
            store.load(path)


def test_a_death_between_claims_and_configuration_mixes_no_seeds(folder):
    """Claims of five seeds never stand under "three seeds"."""
    diagonal = folder / "diagonal"
    claims = _files.read_json(diagonal / "claims.json")
    _files.write_json(diagonal / "claims.json", [{**claim, "seeds": 5} for claim in claims])
    with pytest.raises(
        FileNotFoundError, match=r"left out of the page: claims\.json is not as it was written"
    ):
        report(folder)


def test_a_picture_that_was_not_finished_is_none_of_the_page(folder):
    left = folder / "diagonal" / f".figure-{'1' * 32}.svg"
    left.write_text("<svg>half a picture</svg>")
    page = report(folder).read_text()
    assert page.count("data:image") == 1
    reproduce(["diagonal"], folder, quick=True, seeds=3)
    assert not left.exists()


def test_what_a_sweep_keeps_is_checked_and_made_again(tmp_path, largestep, monkeypatch):
    monkeypatch.setattr("largestep.figures.sweep.draw_plane", lambda *_, **__: Figure((1, 1)))
    axes = ["--x", "step_size=0.1,0.2", "--y", "factor=2", "--steps", "9", "--seeds", "1"]
    command = ["sweep", "diagonal", *axes, "--out", tmp_path]
    assert largestep(*command).returncode == 0
    assert states(tmp_path) == {}
    blocks = tmp_path / "blocks"
    content = blocks.read_bytes()
    blocks.write_bytes(content[:-1])
    assert states(tmp_path) == {"blocks": "left over"}
    blocks.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert states(tmp_path) == {"blocks": "damaged"}
    assert "has a damaged block; computing it again" in largestep(*command).stderr
    assert states(tmp_path) == {}
    again = largestep(*command)
    assert again.returncode == 0
    assert "damaged" not in again.stderr
    other = provenance.Closure((), "0" * 16, {})
    monkeypatch.setattr("largestep.provenance.closure", lambda *_: other)
    assert states(tmp_path) == {"results.nc": "stale"}


def test_one_process_at_a_time(folder, largestep):
    with _files.exclusive(folder):
        for command in (["reproduce", "diagonal", "--out"], ["report"], ["clean", "--remove"]):
            done = largestep(*command, folder)
            assert done.returncode == 1
            assert "is writing to" in done.stderr
    axes = ["--x", "step_size=0.1", "--y", "factor=2", "--steps", "9", "--seeds", "1"]
    with _files.exclusive(folder):
        done = largestep("sweep", "diagonal", *axes, "--out", folder)
    assert done.returncode == 1
    assert "is writing to" in done.stderr


def test_weights_of_a_run_are_read_bit_for_bit(kept):
    from largestep.deep.loading import load_model

    model = load_model(str(kept / "runs" / "one"))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
