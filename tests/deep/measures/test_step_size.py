"""The edge of stability of SGD in its variants, against the steps themselves."""

import numpy as np
import pytest
import torch
from torch import nn

from largestep.deep import Probe
from largestep.deep.measures import StepSize


def end(curvature, **settings):
    """Return how far the minimum of a quadratic loss is after some hundred steps from 1."""
    x = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([x], **settings)
    for _ in range(400):
        optimizer.zero_grad()
        (curvature * x.square() / 2).sum().backward()
        optimizer.step()
    return abs(x.item())


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.5},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ],
)
def test_steps_grow_just_beyond_the_edge(settings):
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), **settings)
    found = Probe(model, torch.ones(1, 1), measures=[StepSize(optimizer)]).measure()
    assert float(found.step_size) == 0.1
    assert end(0.95 * float(found.edge), **settings) < 1e-2
    assert end(1.05 * float(found.edge), **settings) > 1e3


def test_the_largest_group_counts_and_adam_has_no_edge():
    first, second = nn.Linear(1, 1), nn.Linear(1, 1)
    groups = [{"params": first.parameters()}, {"params": second.parameters(), "lr": 0.5}]
    sgd = StepSize(torch.optim.SGD(groups, lr=0.1))
    model = nn.Sequential(first, second)
    found = Probe(model, torch.ones(1, 1), measures=[sgd]).measure()
    assert (float(found.step_size), float(found.edge)) == (0.5, 4.0)
    adam = StepSize(torch.optim.Adam(model.parameters(), lr=1e-3))
    found = Probe(model, torch.ones(1, 1), measures=[adam]).measure()
    assert float(found.step_size) == 1e-3
    assert np.isnan(found.edge)
    with pytest.raises(TypeError, match="optimizer must have param_groups with a step size, got"):
        StepSize(model)
