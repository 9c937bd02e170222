"""Each door of the house, with the parts that docs/extending.md builds and nothing else."""

import re
import sys
from pathlib import Path

import pytest

import largestep.experiments
from largestep import reproduction
from largestep.experiments import find

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
BLOCKS = re.findall(r'```python(?: title="(.*?)")?\n(.*?)```', PAGE.read_text(), re.DOTALL)


def run(blocks):
    """Run blocks one after the other and return what they define."""
    namespace = {"__name__": "extending"}
    for text in blocks:
        exec(compile(text, f"<{PAGE.name}>", "exec"), namespace)  # a file would have a cache
    return namespace


def test_a_network_a_loss_a_dynamics_a_measure_and_an_executor_work_together():
    made = run(text for title, text in BLOCKS if not title and "deep" not in text)
    runs = made["runs"]
    assert runs.norm.dims == ("schedule", "seed", "step")
    assert float(runs.train_loss.isel(step=-1).median()) < 1e-6
    assert runs.diverged_at.isnull().all()


def test_controllers_and_deep_measures_are_one_class_each():
    pytest.importorskip("torch")
    blocks = [text for title, text in BLOCKS if not title and "deep" in text]
    assert blocks
    run(blocks)


def test_an_experiment_is_a_folder(tmp_path, monkeypatch):
    for title, text in BLOCKS:
        if title:
            path = tmp_path / title.removeprefix("experiments/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    where = [*largestep.experiments.__path__, str(tmp_path)]
    monkeypatch.setattr(largestep.experiments, "__path__", where)
    try:
        assert "bounce" in find()
        reproduction.reproduce(["bounce"], tmp_path / "results", seeds=3)
        assert "Large steps bounce." in (tmp_path / "results" / "report.html").read_text()
    finally:
        for name in [name for name in sys.modules if "doe2030" in name]:
            del sys.modules[name]
