"""Experiments on deep networks with narrow ones, trained here."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from largestep.experiments import trainings

NARROW = {
    "digits": ("small_resnet", {"widths": (2, 3, 4)}),
    "glyphs": ("small_resnet", {"widths": (2, 3)}),
    "glyphs-no-norm": ("small_resnet", {"widths": (2, 3), "norm": "none"}),
    "glyphs-densenet": ("small_densenet", {"layers": 1, "growth": 2}),
    **dict.fromkeys(("resnet18", "resnet18-glyphs"), ("resnet18", {"width": 2})),
    **dict.fromkeys(("densenet100", "densenet100-glyphs"), ("small_resnet", {"widths": (2, 3)})),
}


@pytest.fixture
def without_processes(monkeypatch):
    """Train in a thread of this process: starting another takes seconds."""

    @contextmanager
    def workers(number):
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr(trainings, "process_pool", workers)


@pytest.fixture
def narrow(monkeypatch, without_processes):
    """Make the networks of the presets narrow, and their epochs ten."""
    pytest.importorskip("torch")
    from largestep.deep.training.presets import PRESETS

    for name, (model, settings) in NARROW.items():
        narrowed = replace(PRESETS[name], epochs=10, model=model, model_settings=settings)
        monkeypatch.setitem(PRESETS, name, narrowed)
