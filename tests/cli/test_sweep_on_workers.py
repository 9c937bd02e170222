"""`largestep sweep --workers`: whatever dies, the result is the one that threads give."""

import subprocess

import pytest
from tests.cli.on_workers import until, workers_of

from largestep import store

pytest.importorskip("distributed")
pytestmark = pytest.mark.cluster

SWEEP = ["sweep", "diagonal", "--x", "step_size=0.05:0.3:6", "--y", "decay_at=0.2,0.5"]
SWEEP += ["--seeds", "8", "--steps", "20000"]


def test_dead_workers_and_a_dead_parent_change_no_bit(tmp_path, command, largestep):
    blocks = tmp_path / "workers" / "blocks"
    arguments = [*SWEEP, "--workers", "2", "--out", str(tmp_path / "workers")]
    process = subprocess.Popen([command, *arguments], stderr=subprocess.PIPE, text=True)

    def size():
        return blocks.stat().st_size if blocks.exists() else 0

    until(lambda: size() > 0)
    workers = workers_of(process)
    assert len(workers) == 2
    workers[0].kill()
    before = size()
    until(lambda: size() > before and len(set(workers_of(process)) - {workers[0]}) == 2)
    workers = workers_of(process)
    process.kill()
    assert "the dashboard is http://" in process.communicate()[1]
    kept = size()
    until(lambda: not any(worker.is_running() for worker in workers))

    done = largestep(*arguments)
    assert done.returncode == 0, done.stderr
    total = int(done.stderr.rpartition(" of ")[2].partition(",")[0])
    assert 0 < total < 6 * 2 * 8
    assert size() > kept
    assert largestep(*SWEEP, "--threads", 2, "--out", tmp_path / "threads").returncode == 0
    ends = [store.load(tmp_path / w / "results.nc")[0]["sweep"] for w in ("workers", "threads")]
    assert ends[0].identical(ends[1])
