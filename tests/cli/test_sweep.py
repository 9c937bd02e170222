"""`largestep sweep` as a user would run it, and kill it."""

import subprocess
import time

import pytest

from largestep import store
from largestep.experiments import find


def test_a_killed_sweep_goes_on_where_it_was(tmp_path, command, largestep):
    arguments = ["sweep", "diagonal", "--x", "step_size=0.05:0.3:12", "--y", "decay_at=0.2,0.5"]
    arguments += ["--seeds", "8", "--steps", "20000", "--threads", "1", "--out", str(tmp_path)]
    process = subprocess.Popen([command, *arguments], stderr=subprocess.DEVNULL)
    columns = tmp_path / "columns"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (columns / "0001.nc").exists():
        time.sleep(0.01)
    process.kill()
    process.wait()
    finished = {p: p.stat().st_mtime_ns for p in columns.glob("0*.nc")}
    assert 2 <= len(finished) < 12
    assert largestep(*arguments).returncode == 0
    assert (tmp_path / "figure.png").exists()
    assert all(p.stat().st_mtime_ns == then for p, then in finished.items())


@pytest.mark.parametrize("name", [name for name, e in find().items() if e.swept])
def test_every_setting_can_be_swept(name, tmp_path, largestep):
    axes = ["--x", "step_size=0.0001", "--y", "factor=2"]
    done = largestep("sweep", name, *axes, "--steps", 20, "--seeds", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    plane = store.load(tmp_path / "results.nc")[0]["sweep"]
    assert plane.jacobian_rank.notnull().all()
