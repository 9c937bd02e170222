"""Every write, sync, rename and read fails in turn: one line is said, and the next call mends."""

import errno
import os
import pathlib
from datetime import datetime

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from safetensors.torch import save_file

from largestep import _files, store
from largestep.deep import data
from largestep.experiments.experiment import Experiment

KINDS = {
    "full": lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "broken": lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    "interrupted": KeyboardInterrupt,
}


class Noon(datetime):
    """A clock that stands still: results say when they were made."""

    @classmethod
    def now(cls, tz=None):
        return cls(2024, 1, 1, 12, tzinfo=tz)


class Disk:
    """Counts what is done to the files of a folder, and lets one deed fail, half done."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.count, self.failing, self.kind = folder, 0, None, None
        for owner, name in (
            (pathlib.Path, "write_bytes"),
            (pathlib.Path, "read_bytes"),
            (pathlib.Path, "mkdir"),
            (pathlib.Path, "unlink"),
            (os, "fsync"),
            (os, "fdatasync"),
            (os, "replace"),
            (os, "ftruncate"),
        ):
            monkeypatch.setattr(owner, name, self.wrapped(getattr(owner, name), name))

    def wrapped(self, deed, name):
        def attempt(where, *arguments, **keywords):
            path = f"/proc/self/fd/{where}" if isinstance(where, int) else where
            if not os.path.realpath(path).startswith(str(self.folder)):
                return deed(where, *arguments, **keywords)
            self.count += 1
            if self.count != self.failing:
                return deed(where, *arguments, **keywords)
            if name == "write_bytes":
                deed(where, arguments[0][: len(arguments[0]) // 2])
            raise KINDS[self.kind]()

        return attempt


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return Disk(tmp_path / "out", monkeypatch)


def reproduced(tmp_path, monkeypatch, images):
    dataset = xr.Dataset({"loss": ("step", np.arange(3.0))})
    results = store.Results.from_dict({"one": dataset})
    monkeypatch.setattr(Experiment, "compute", lambda *_: results)
    monkeypatch.setattr(Experiment, "draw", lambda *_: {"figure": Figure((1, 1))})
    monkeypatch.setattr(Experiment, "claims", ())
    monkeypatch.setattr("largestep.reproduction.datetime", Noon)
    return ["reproduce", "diagonal"]


def swept(tmp_path, monkeypatch, images):
    monkeypatch.setattr("largestep.figures.sweep.draw_plane", lambda *_, **__: Figure((1, 1)))
    return [
        "sweep",
        "diagonal",
        "--x",
        "step_size=0.1,0.2",
        "--y",
        "factor=2",
        "--steps",
        "9",
        "--seeds",
        "1",
        "--threads",
        "1",
    ]


def trained(tmp_path, monkeypatch, images):
    monkeypatch.setattr("largestep.figures.training.draw_training", lambda *_: Figure((1, 1)))
    monkeypatch.setattr(data, "load", lambda *_, **__: images)
    return [
        "train",
        "digits",
        "--epochs",
        "1",
        "--evaluations",
        "1",
        "--averaging",
        "0.5",
        "--resume",
        "--device",
        "cpu",
    ]


def compacted(tmp_path, monkeypatch, images):
    monkeypatch.setattr("largestep.figures.compaction.draw_compaction", lambda *_: Figure((1, 1)))
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))\n"
    )
    state = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3)}
    state |= {"2.weight": torch.ones(1, 3), "2.bias": torch.ones(1)}
    save_file(state, tmp_path / "w.safetensors")
    np.save(tmp_path / "x.npy", np.arange(8, dtype=np.float32).reshape(4, 2))
    weights, inputs = tmp_path / "w.safetensors", tmp_path / "x.npy"
    return ["compact", f"{tmp_path / 'net.py'}:build", "--weights", weights, "--data", inputs]


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "report.html", "report.json")
    }


@pytest.mark.parametrize("prepare", [reproduced, swept, trained, compacted])
@pytest.mark.parametrize(
    "every", [4, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "every one"]
)
def test_whatever_fails_is_one_line_and_the_next_call_mends_it(
    prepare, every, disk, tmp_path, monkeypatch, few_images, largestep
):
    command = [*prepare(tmp_path, monkeypatch, few_images), "--out", disk.folder]
    assert largestep(*command).returncode == 0
    deeds, expected = disk.count, content(disk.folder)
    for number in range(1, deeds + 1, every):
        for kind in list(KINDS) if every == 1 else [list(KINDS)[number % len(KINDS)]]:
            for path in sorted(disk.folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            disk.count, disk.failing, disk.kind = 0, number, kind
            failed = largestep(*command)
            said = [line for line in failed.stderr.splitlines() if ", about " not in line]
            where = f"{kind} at {number} of {deeds}: {failed.stderr}"
            assert failed.returncode in (0, 1, 130), where
            assert "Traceback" not in failed.stderr, where
            assert failed.returncode == 0 or len([line for line in said if line.strip()]) == 1, (
                where
            )
            disk.failing = None
            mended = largestep(*command)
            assert mended.returncode == 0, where + mended.stderr
            assert content(disk.folder) == expected, where
            assert not _files.temporaries(disk.folder), where
