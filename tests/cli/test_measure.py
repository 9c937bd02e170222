"""`largestep measure` on models and data of the user's own."""

import json
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from largestep.deep import Probe
from largestep.figures.probe import draw_probe
from largestep.metrics import effective_rank, feature_sparsity

NET = """
from collections import OrderedDict
from torch import nn

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.linear = nn.Linear(4, 6)

    def forward(self, tokens):
        return nn.functional.gelu(self.linear(self.embedding(tokens))).mean(1)

def build():
    return nn.Sequential(
        OrderedDict(first=nn.Linear(4, 6), act=nn.ReLU(), last=nn.Linear(6, 3), end=nn.ReLU())
    )
"""


@pytest.fixture
def measure(largestep, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return partial(largestep, "measure")


@pytest.fixture
def state(measure):
    generator = torch.Generator().manual_seed(0)
    shapes = {"first.weight": (6, 4), "first.bias": 6, "last.weight": (3, 6), "last.bias": 3}
    return {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}


@pytest.fixture
def inputs(measure):
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    np.save("x.npy", x)
    return x


def test_it_writes_what_the_metrics_say(measure, state, inputs, tmp_path):
    save_file(state, "w.safetensors")
    done = measure("net.py:build", "--weights", "w.safetensors", "--data", "x.npy")
    assert done.returncode == 0
    (row, _) = json.loads((tmp_path / "measure" / "measures.json").read_text())["layers"]
    x = torch.from_numpy(inputs[::2])
    features = (x @ state["first.weight"].T + state["first.bias"]).relu()
    expected = feature_sparsity(features)
    assert row["layer"] == "act"
    assert [row[key] for key in ("raw", "distinct", "dead", "merged", "units", "width")] == [
        expected.raw,
        expected.distinct,
        expected.dead,
        expected.merged,
        6,
        6,
    ]
    assert row["effective_rank"] == pytest.approx(effective_rank(features.double()), rel=1e-5)
    assert f"{row['distinct']:.3f}" in done.stdout
    assert (tmp_path / "measure" / "figure.png").is_file()


def test_a_layer_that_is_not_finite_is_told_apart(measure, state, inputs, tmp_path):
    state["last.weight"][0] = np.nan
    torch.save(state, "w.pt")
    done = measure("net.py:build", "--weights", "w.pt", "--data", "x.npy")
    assert done.returncode == 0
    first, last = json.loads((tmp_path / "measure" / "measures.json").read_text())["layers"]
    assert first["raw"] > 0
    assert last == {"layer": "end", "width": 3, "units": 3}
    assert "NaN" in done.stdout.splitlines()[2]


def test_tokens(measure, tmp_path):
    np.save("t.npy", np.random.default_rng(0).integers(0, 9, (10, 5)))
    done = measure("net.py:Tokens", "--data", "t.npy", "--units", "channel")
    assert done.returncode == 0
    (row,) = json.loads((tmp_path / "measure" / "measures.json").read_text())["layers"]
    assert (row["layer"], row["width"]) == ("gelu", 6)


def test_what_is_wrong_is_one_line(measure, state, inputs, tmp_path):
    np.save("wide.npy", np.ones((4, 7), np.float32))
    np.save("t.npy", np.full((4, 7), 100))
    torch.save({"epoch": 3, "model": state}, "checkpoint.pt")
    for arguments, message in (
        (["net.py:build", "--data", "wide.npy"], r"cannot be run on inputs of shape (2, 7)"),
        (["net.py:Tokens", "--data", "t.npy"], "torch.int64: index out of range"),
        (["net.py:make", "--data", "x.npy"], "has no function 'make'; it has Tokens, build\n"),
        (["net.py:build", "--data", "x.npy", "--weights", "checkpoint.pt"], "got epoch, model"),
        (["net.py:build", "--data", "x.npy", "--correlation-threshold", 2], "at most 1"),
    ):
        done = measure(*arguments)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("largestep: ")
        assert message in done.stderr


def test_the_figure_of_a_probe_names_every_layer_once(inputs):
    layers = [torch.nn.Linear(4, 4), torch.nn.ReLU()] * 20
    drawing = draw_probe(Probe(torch.nn.Sequential(*layers), torch.from_numpy(inputs)).dataset())
    drawing.canvas.draw()
    boxes = [label.get_window_extent() for label in drawing.axes[2].get_yticklabels()]
    assert len(boxes) == 20
    assert not any(above.overlaps(below) for above, below in pairwise(boxes))


def test_names_are_data_in_terminals_and_figures(measure, inputs):
    names = ["act[relu]", "[/x]", "$x_{$"]
    text = "from torch import nn\n\ndef build():\n    model = nn.Sequential()\n"
    for name in names:
        text += f"    model.add_module({name!r}, nn.ReLU())\n"
    Path("odd.py").write_text(text + "    return model\n")
    done = measure("odd.py:build", "--data", "x.npy")
    assert done.returncode == 0
    assert all(name in done.stdout for name in names)


def test_what_a_file_says_is_no_command_to_the_terminal(measure, inputs):
    save_file({"\x1b[2J": torch.ones(1)}, "w.safetensors")
    done = measure("net.py:build", "--data", "x.npy", "--weights", "w.safetensors")
    assert done.returncode == 1
    assert "\\x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr
