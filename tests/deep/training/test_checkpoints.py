"""Checkpoints against damage, full disks and real kills."""

import errno
import math
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from largestep import _files
from largestep.deep.training import checkpoints

TENSORS = {
    "weights": torch.arange(24, dtype=torch.float32).reshape(1, 2, 3, 4),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "none": torch.empty(0),
}


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[k].dtype == v.dtype and torch.equal(found[k], v) for k, v in expected.items()
    )


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    state = {"step": 3, "rate": 0.1 + 0.2, "at": math.inf, "nested": {"list": [1, None, "η"]}}
    checkpoints.save(tmp_path, TENSORS, state)
    tensors, loaded = checkpoints.load(tmp_path)
    assert same(tensors, TENSORS)
    assert loaded == state
    checkpoints.save(tmp_path, {}, {"at": math.nan})
    assert math.isnan(checkpoints.load(tmp_path)[1]["at"])


def test_memory_format_does_not_matter(tmp_path):
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    checkpoints.save(tmp_path, {"x": x.to(memory_format=torch.channels_last)}, {})
    assert torch.equal(checkpoints.load(tmp_path)[0]["x"], x)


def test_without_a_checkpoint_there_is_none(tmp_path):
    assert checkpoints.load(tmp_path) is None


def saved_twice(folder):
    for step in (1, 2):
        checkpoints.save(folder, {"x": torch.full((50,), step)}, {"step": step})
    return folder / "checkpoint.safetensors"


@given(st.data())
def test_any_changed_byte_is_noticed_and_the_one_before_taken(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("checkpoint")
    latest = saved_twice(folder)
    content = bytearray(latest.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    latest.write_bytes(content)
    tensors, state = checkpoints.load(folder)
    # A change in the header's padding changes nothing.
    assert (state["step"], tensors["x"][0]) in ((1, 1), (2, 2))
    if state["step"] == 2:
        assert same(tensors, {"x": torch.full((50,), 2)})


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:30], lambda b: b"", lambda b: b"x"]
)
def test_a_truncated_checkpoint_is_named_and_never_outlives_a_good_one(tmp_path, damage, capsys):
    latest = saved_twice(tmp_path)
    latest.write_bytes(damage(latest.read_bytes()))
    assert checkpoints.load(tmp_path)[1] == {"step": 1}
    assert "checkpoint.safetensors is damaged" in capsys.readouterr().err
    checkpoints.save(tmp_path, {}, {"step": 3})
    latest.write_bytes(b"")
    assert checkpoints.load(tmp_path)[1] == {"step": 1}


def test_only_damaged_checkpoints_are_refused(tmp_path):
    for path in (saved_twice(tmp_path), tmp_path / "checkpoint-previous.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"is damaged: .*there is no other: delete .* to start"):
        checkpoints.load(tmp_path)


def test_another_programs_file_is_no_checkpoint(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.ones(1)}, tmp_path / "checkpoint.safetensors")
    with pytest.raises(ValueError, match="is no checkpoint of largestep"):
        checkpoints.load(tmp_path)


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    saved_twice(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device; what was saved before is still"):
        checkpoints.save(tmp_path, TENSORS, {"step": 3})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_delete_leaves_nothing(tmp_path):
    saved_twice(tmp_path)
    checkpoints.delete(tmp_path)
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, itertools, pathlib, torch
from largestep import _files
from largestep.deep.training import checkpoints
folder = pathlib.Path(sys.argv[1])
with _files.exclusive(folder):
    for step in itertools.count(int(sys.argv[2])):
        x = torch.full((100_000,), step)
        checkpoints.save(folder, {"x": x, "y": -x}, {"step": step})
"""


def test_a_kill_at_any_moment_leaves_one_moments_checkpoint(tmp_path):
    step = 0
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(step + 1)])
        latest = tmp_path / "checkpoint.safetensors"
        start = latest.stat().st_mtime_ns if latest.exists() else 0
        deadline = time.monotonic() + 60
        while not (latest.exists() and latest.stat().st_mtime_ns != start):
            assert writer.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(random.uniform(0.0, 0.1))
        writer.kill()
        writer.wait()
        before = step
        tensors, state = checkpoints.load(tmp_path)
        step = state["step"]
        assert step > before
        assert bool((tensors["x"] == step).all())
        assert bool((tensors["y"] == -step).all())
    with _files.exclusive(tmp_path):
        assert not list(tmp_path.glob(".checkpoint-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_raises_a_flag_and_the_second_acts(number):
    before = signal.getsignal(number)
    acted = []
    signal.signal(number, lambda *_: acted.append(True))
    try:
        with checkpoints.stopping() as stop:
            assert stop.signal is None
            os.kill(os.getpid(), number)
            assert stop.signal == number
            assert not acted
            os.kill(os.getpid(), number)
            assert acted
        os.kill(os.getpid(), number)
        assert len(acted) == 2
    finally:
        signal.signal(number, before)
