import json

import numpy as np
import pytest
import xarray as xr

from largestep import _files, provenance, store


@pytest.fixture
def results():
    dataset = xr.Dataset({"loss": ("step", np.arange(5.0))}, attrs={"network": "none"})
    return {"sgd": dataset, "gd": dataset * 2}


def test_results_come_back_as_they_were_saved(results, tmp_path):
    path = tmp_path / "results.nc"
    store.save(path, results, {"seeds": [0, 1]})
    loaded, config = store.load(path)
    assert config == {"seeds": [0, 1]}
    assert set(loaded) == {"sgd", "gd"}
    xr.testing.assert_identical(loaded["sgd"], results["sgd"])


def test_a_name_may_hold_any_sign(results, tmp_path):
    store.save(tmp_path / "r.nc", {"x² ∝ 0.2 or 1.9": results["sgd"]}, {})
    assert list(store.load(tmp_path / "r.nc")[0]) == ["x² ∝ 0.2 or 1.9"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail(temporary):
        temporary.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        _files.atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"nonsense", lambda b: b""]
)
def test_damaged_results_are_named(results, tmp_path, damage):
    path = tmp_path / "results.nc"
    store.save(path, results, {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"results\.nc cannot be read as results"):
        store.load(path)


def test_missing_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results at"):
        store.load(tmp_path / "results.nc")


def test_a_file_is_not_a_folder(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match="is a file: name a folder"):
        _files.prepare_folder(file)
    with pytest.raises(OSError, match="cannot write to the folder"):
        _files.prepare_folder(file / "below")


def test_the_configuration_follows_settings_and_code(monkeypatch):
    first = provenance.configuration("x", [0], quick=False)
    assert first == provenance.configuration("x", [0], quick=False)
    assert first != provenance.configuration("x", [1], quick=False)
    monkeypatch.setattr(provenance, "_COMPUTING", ("_checks.py",))
    assert provenance.configuration("x", [0], quick=False)["code"] != first["code"]
    json.dumps(first)
