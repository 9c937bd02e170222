"""A step size found in a minute: what is known of a quadratic, what it leaves alone, its doubts."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from largestep.deep import find_step

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2)
    )


def loss(model, batch):
    return functional.cross_entropy(model(batch[0]), batch[1])


def loader(**settings):
    data = torch.utils.data.TensorDataset(X, Y)
    return torch.utils.data.DataLoader(data, 16, **{"shuffle": True} | settings)


def test_of_one_direction_it_is_kappa_over_the_curvature():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    found = find_step(
        model,
        [torch.ones(1, 1)],
        lambda model, batch: (model(batch) - 3.0).square().mean(),
        optimizer="SGD",
        kappa=0.5,
        steps=60,
    )
    # The mean over a search that begins with tiny steps is a little lower.
    assert 0.2 < found.step_size < 0.26


def test_all_is_as_it_was():
    model, generator = network(), torch.Generator().manual_seed(3)
    batches = loader(generator=generator)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    states = torch.get_rng_state(), generator.get_state()
    model.eval()
    find_step(model, batches, loss, steps=20)
    assert not model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(generator.get_state(), states[1])


def test_its_text_runs_and_trains():
    model, steps = network(), 400
    found = find_step(model, loader(), loss, optimizer=partial(torch.optim.SGD, momentum=0.9))
    assert "momentum=0.9" in str(found)
    space = {"torch": torch, "model": model, "steps": steps}
    exec(str(found), space)
    optimizer, schedule = space["optimizer"], space["schedule"]
    sizes, losses = [], []
    for _ in range(steps):
        sizes.append(optimizer.param_groups[0]["lr"])
        batch = next(iter(loader()))
        optimizer.zero_grad()
        value = loss(model, batch)
        value.backward()
        optimizer.step()
        schedule.step()
        losses.append(value.item())
    assert sum(losses[-20:]) / 20 < 0.6  # of log 2 at the start
    assert max(sizes) == pytest.approx(found.step_size, rel=0.01)
    assert sizes[0] < max(sizes)
    assert sizes[-1] == pytest.approx(found.step_size / 200, rel=0.01)


def test_it_says_when_the_loss_did_not_fall():
    labels = torch.randint(2, (64,), generator=torch.Generator().manual_seed(1))
    model = nn.Linear(5, 2)
    with torch.no_grad():
        model.weight.zero_()
    found = find_step(model, [(0.01 * X, labels)], loss, optimizer="SGD", steps=60, kappa=1e-6)
    assert any(doubt.startswith("the loss did not fall") for doubt in found.doubts)
    assert "# Do not trust it: the loss did not fall" in str(found)


def test_it_says_when_two_searches_disagree():
    batches = [torch.full((4, 1), scale) for scale in [1.0] * 30 + [100.0] * 30]
    found = find_step(
        nn.Linear(1, 1, bias=False),
        batches,
        lambda model, batch: model(batch).square().mean(),
        optimizer="SGD",
        steps=30,
        kappa=0.1,
    )
    assert any(doubt.startswith("two searches found") for doubt in found.doubts)


def test_it_says_when_there_was_no_time():
    found = find_step(network(), loader(), loss, seconds=1e-3)
    assert found.doubts[0].startswith("there was time for 1 steps only")


def test_it_says_what_happened():
    calls = []

    def spoilt(model, batch):
        calls.append(1)
        return loss(model, batch) * (math.nan if 100 < len(calls) < 103 else 1.0)

    found = find_step(network(), loader(), spoilt, steps=60)
    assert any("the loss was not finite" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": 3}, TypeError, "model must be"),
        ({"batches": 3}, TypeError, "batches must be"),
        ({"batches": []}, ValueError, "batches must hold one"),
        ({"loss": 3}, TypeError, "loss must be a function, got int"),
        ({"loss": lambda m, b: m(b[0])}, TypeError, r"one number as a tensor, got \(16, 2\)"),
        ({"loss": lambda m, b: math.nan * loss(m, b)}, ValueError, "loss must be finite"),
        ({"loss": lambda m, b: 0 * loss(m, b)}, ValueError, "every gradient is exactly zero"),
        ({"optimizer": "Adamm"}, ValueError, "a class of torch.optim, got 'Adamm'"),
        ({"optimizer": "LBFGS"}, TypeError, "got LBFGS"),
        ({"optimizer": lambda p: 3}, TypeError, "must return one of torch.optim, got int"),
        ({"steps": 3}, ValueError, "steps must be at least 20"),
        ({"seconds": 0}, ValueError, "seconds must be above 0"),
        ({"model": nn.ReLU()}, ValueError, "model must have parameters"),
    ],
)
def test_what_cannot_be_searched_is_named(changes, error, message):
    given = {"model": network(), "batches": loader(), "loss": loss} | changes
    with pytest.raises(error, match=message):
        find_step(**given)
