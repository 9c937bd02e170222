"""`largestep reproduce --workers`: whatever dies, the results are those that threads give."""

import json
import subprocess

import pytest
from tests.cli.on_workers import until, workers_of

from largestep import store

pytest.importorskip("distributed")
pytestmark = pytest.mark.cluster

NAMES = ["one-dimension", "survival"]
RUN = ["reproduce", *NAMES, "--quick", "--seeds", "2"]


def test_dead_workers_and_a_dead_parent_change_no_bit(tmp_path, command, largestep):
    there, here = tmp_path / "workers", tmp_path / "threads"
    arguments = [*RUN, "--workers", "2", "--out", str(there)]
    process = subprocess.Popen([command, *arguments], stderr=subprocess.PIPE, text=True)
    until(lambda: len(workers_of(process)) == 2)
    until(lambda: (there / NAMES[0]).exists())
    workers = workers_of(process)
    workers[0].kill()
    # The first is whole; the next has begun.
    until(lambda: (there / NAMES[1]).exists())
    workers = workers_of(process)
    process.kill()
    process.communicate()
    until(lambda: not any(worker.is_running() for worker in workers))
    first = there / NAMES[0] / "results.nc"
    kept = first.stat().st_mtime_ns

    done = largestep(*arguments)
    assert done.returncode == 0, done.stderr
    assert first.stat().st_mtime_ns == kept
    assert largestep(*RUN, "--threads", 2, "--out", here).returncode == 0
    for name in NAMES:
        found = [store.load(folder / name / "results.nc")[0] for folder in (there, here)]
        assert found[0].identical(found[1])
        claims = [
            json.loads((folder / name / "claims.json").read_text()) for folder in (there, here)
        ]
        assert claims[0] == claims[1]
