"""`largestep doctor` on files of a probe; it needs no PyTorch."""

import json

import numpy as np
import xarray as xr

from largestep.cli.app import printable


def write(path, dead, layer="act"):
    """Write what a probe with its default measures saves."""
    losses = np.exp(-np.arange(200) / 40)
    layers = {"raw": 0.5, "distinct": 0.4, "dead": dead, "merged": 1.0, "units": 20.0}
    dataset = xr.Dataset(
        {
            **{name: (("step", "layer"), np.full((3, 1), v)) for name, v in layers.items()},
            "train_loss": ("loss_step", losses),
        },
        {"step": [0, 100, 200], "layer": [layer], "loss_step": np.arange(1, 201)},
    )
    dataset.to_netcdf(path, engine="h5netcdf")


def test_it_tells_what_is_wrong_and_writes_a_page(largestep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("probe.nc", dead=18.0, layer="act[red]<b>")
    done = largestep("doctor", "probe.nc", "--out", "told")
    assert done.returncode == 0
    said = done.stdout
    assert said.startswith("2 findings in 200 steps.\n")
    assert "dead units: layer act[red]<b>: 90% of the units are dead" in said
    assert "not recorded: Activity() does" in said
    told = json.loads((tmp_path / "told" / "diagnosis.json").read_text())
    assert [f["name"] for f in told["findings"]] == ["dead units", "collapse near"]
    page = (tmp_path / "told" / "diagnosis.html").read_text()
    assert "act[red]&lt;b&gt;: 90%" in page
    assert "data:image/svg+xml," in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (tmp_path / "told" / "figure.png").exists()


def test_a_name_from_a_file_is_no_command_to_a_terminal():
    assert printable("act\x1b[31m: 90 % of κ\n") == "act\\x1b[31m: 90 % of κ\n"


def test_it_says_that_nothing_was_found(largestep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("probe.nc", dead=1.0)
    done = largestep("doctor", "probe.nc")
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing found in 200 steps.\n")
    assert done.stdout.endswith("The page, the numbers and the figure are in doctor\n")
    missing = largestep("doctor", "missing.nc")
    assert missing.returncode == 1
    assert "missing.nc" in missing.stderr
