"""Models that change what they hold while they run: afterwards all is as it was."""

import itertools
import random
from collections import deque
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from largestep.deep import Probe
from largestep.deep._untouched import untouched, without_a_trace
from largestep.deep.curvature.jacobian import jacobian_rank

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))


class Kept:
    """An object of the same package as the model."""

    __slots__ = ("calls", "seen")

    def __init__(self):
        self.calls, self.seen = 0, []


class Changing(nn.Module):
    """Builds, registers, counts and collects, some of it on the first call only."""

    shared: ClassVar = []
    count = 0

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.built = False
        self.losses, self.cache, self.names = [], {"of": {"calls": 0}}, {"a"}
        self.last = deque(maxlen=2)
        self.plain = torch.zeros(3)
        self.array = np.zeros(3)
        self.outside = [nn.BatchNorm1d(8)]
        self.kept = Kept()
        self.draws = torch.Generator().manual_seed(1)
        self.numpys = np.random.default_rng(1)
        self.pythons = random.Random(1)
        calls = 0

        def hook(*_):
            nonlocal calls
            calls += 1
            return None if calls < 99 else torch.zeros(1)

        self.first.register_forward_hook(hook)
        self.calls = lambda: calls

    def forward(self, x):
        if not self.built:
            self.second = nn.Linear(8, 3)
            self.first.register_forward_hook(lambda *got: 1.5 * got[2])
            self.built = True
        hidden = torch.relu(self.first(x))
        self.losses.append(float(hidden.detach().mean()))
        self.cache["of"]["calls"] += 1
        self.cache[len(self.cache)] = x
        self.names.add(str(len(self.names)))
        self.last.append(len(self.losses))
        self.plain += 1
        self.array += 1
        self.outside[0].extra = self.outside[0].momentum
        self.outside[0].running_mean += 1
        self.kept.calls += 1
        self.kept.seen.append(1)
        Changing.shared.append(1)
        type(self).count += 1
        noise = torch.rand(1, generator=self.draws) + self.numpys.random() + self.pythons.random()
        return self.second(hidden) + 0 * noise.to(x.dtype)


def state(model):
    return [
        list(model._modules),
        model.built,
        list(model.losses),
        {key: str(value) for key, value in model.cache.items()},
        set(model.names),
        list(model.last),
        model.plain.tolist(),
        model.array.tolist(),
        sorted(vars(model.outside[0])),
        model.outside[0].running_mean.tolist(),
        (model.kept.calls, list(model.kept.seen), list(Changing.shared), Changing.count),
        model.draws.get_state().tolist(),
        str(model.numpys.bit_generator.state),
        model.pythons.getstate(),
        model.calls(),
        len(model.first._forward_hooks),
    ]


@pytest.mark.parametrize("called_before", [False, True])
@pytest.mark.parametrize("use", ["probe", "rank", "untouched"])
def test_what_a_model_changes_in_place_is_put_back(called_before, use):
    torch.manual_seed(0)
    model = Changing()
    if called_before:
        model(X)
    before = state(model)
    if use == "probe":
        Probe(model, [X[:6], X[6:]]).measure()
    elif use == "rank":
        jacobian_rank(model, X)
    else:
        with untouched(model):
            model(X)
    assert state(model) == before
    assert model(X).shape == (12, 3)


def test_what_is_built_on_the_first_call_is_what_the_optimizer_has():
    outputs = []
    for probes in (True, False):
        torch.manual_seed(0)
        model = Changing()
        if probes:
            Probe(model, X)
        outputs.append([model(X) for _ in range(3)])
    assert all(torch.equal(*pair) for pair in zip(*outputs, strict=True))


def test_what_cannot_be_put_back_is_refused_before_anything_happens():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    model.numbers = itertools.count()
    batches = iter([X])
    with pytest.raises(TypeError, match=r"model\.numbers is an iterator \(count\)"):
        Probe(model, batches)
    assert next(model.numbers) == 0
    assert next(batches) is X


def test_parameters_that_forward_changes_are_reported():
    class Normalised(nn.Linear):
        def forward(self, x):
            with torch.no_grad():
                self.weight /= self.weight.norm()
            return super().forward(x)

    with (
        pytest.raises(RuntimeError, match="changes its parameter 'weight' in forward"),
        without_a_trace(model := Normalised(6, 2)),
    ):
        model(X)


def test_a_dictionary_of_modules_that_is_shared_and_refers_to_itself():
    model = nn.Sequential(nn.Linear(6, 2))
    model.parts = {"whole": model}
    model.parts["self"] = model.parts
    with untouched(model):
        model.parts.clear()
    assert set(model.parts) == {"whole", "self"}
