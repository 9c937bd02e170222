"""`largestep find-step` on files of the user's own."""

import json
from functools import partial

import pytest

FILE = """
import torch
from torch import nn
from torch.nn import functional
from sklearn.datasets import load_digits

def build():
    torch.manual_seed(0)
    x, y = load_digits(return_X_y=True)
    data = torch.utils.data.TensorDataset(torch.tensor(x).float() / 16, torch.tensor(y))
    model = nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))
    loss = lambda model, batch: functional.cross_entropy(model(batch[0]), batch[1])
    return model, torch.utils.data.DataLoader(data, 32, shuffle=True), loss

def wrong():
    return build()[:2]

def dead():
    model, batches, loss = build()
    return model, batches, lambda model, batch: 0 * loss(model, batch)

def lost():
    model, batches, loss = build()
    return model, batches, lambda model, batch: float("nan") * loss(model, batch)

def own():
    return *build(), lambda parameters: torch.optim.SGD(parameters, lr=1, momentum=0.5)
"""


@pytest.fixture
def find_step(largestep, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return partial(largestep, "find-step")


def test_it_prints_what_to_paste(find_step, tmp_path):
    done = find_step("net.py:build", "--steps", "100")
    assert done.returncode == 0
    told = done.stdout
    found = json.loads((tmp_path / "find-step" / "found.json").read_text())
    assert f"torch.optim.AdamW(model.parameters(), lr={found['step_size']:.3g})" in told
    assert 3e-3 < found["step_size"] < 1e-1
    assert found["doubts"] == []
    assert len(found["history"]["loss"][1]) == 100
    assert found["history"]["kappa"][0][0] is None
    assert (tmp_path / "find-step" / "figure.png").is_file()
    done = find_step("net.py:own", "--steps", "20")
    assert done.returncode == 0
    assert "momentum=0.5" in done.stdout


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("none.py:build", "no file none.py"),
        ("net.py:nothing", "has no function 'nothing'"),
        ("net", "must be FILE.py:function, got 'net'"),
        ("net.py:wrong", "got Sequential, DataLoader"),
        ("net.py:dead", "every gradient is exactly zero"),
        ("net.py:lost", "loss must be finite at the start, got nan"),
    ],
)
def test_what_it_cannot_use_is_named(find_step, spec, told):
    done = find_step(spec)
    assert done.returncode == 1
    assert told in done.stderr
