"""What single examples' losses do, on losses that are set by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from largestep.deep import Probe
from largestep.deep.measures import Opposition


class Table(nn.Module):
    """Answers each example with a parameter of its own: what is set is its loss."""

    def __init__(self, examples):
        super().__init__()
        self.losses = nn.Parameter(torch.ones(examples))

    def forward(self, x):
        return self.losses[x]


def watched(examples, loss=lambda outputs, y: (outputs + 0 * y).mean(), every=1, wrap=None):
    numbers = torch.arange(examples)
    model = Table(examples) if wrap is None else wrap(Table(examples))
    batches = list(zip(numbers.split(7), torch.zeros(examples).split(7), strict=True))
    return Probe(model, batches, measures=[Opposition()], loss_function=loss, every=every)


def after(probe, losses):
    with torch.no_grad():
        next(probe.model.parameters()).copy_(torch.as_tensor(losses))
    return probe.step()


def test_changes_that_cancel_and_those_who_carry_them():
    probe = watched(40)
    first = probe.dataset().isel(step=0)
    assert float(first.unlearned) == 0.0
    assert np.isnan([first.opposition, first.moving_share, first.opposing_pairs]).all()
    changes = np.full(40, -0.01)
    changes[:2] = 0.5, -0.7
    found = after(probe, 1 + changes)
    total = np.abs(changes).sum()
    assert found["opposition"] == pytest.approx(1 - abs(changes.sum()) / total, abs=1e-6)
    assert found["moving_share"] == pytest.approx(1.2 / total, abs=1e-6)
    assert found["unlearned"] == 1 / 40
    assert np.isnan(after(probe, 1 + changes)["opposition"])  # nothing has changed


def test_pairs_that_oppose_each_other_over_the_last_eight_changes():
    probe = watched(80)  # four move most: two against two
    losses, rng = np.ones(80), np.random.default_rng(0)
    for number in range(9):
        swing = rng.normal()
        losses[:4] += swing * np.array([1, 1, -1, -1])
        losses[4:] += 1e-3 * rng.normal(size=76)
        found = after(probe, losses)
        assert np.isfinite(found["opposing_pairs"]) == (number >= 7)
    assert found["opposing_pairs"] == pytest.approx(4 / 6)


def test_the_losses_go_with_the_checkpoint():
    one = watched(20)
    after(one, np.linspace(0, 2, 20))
    other = watched(20)
    other.load_state_dict(one.state_dict())
    losses = np.linspace(1, 0, 20)
    assert after(one, losses)["opposition"] == after(other, losses)["opposition"]


def test_outputs_of_other_kinds_are_taken_one_by_one():
    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return {"loss": self.inner(x).mean()}

    changes = np.linspace(-1, 2, 20)
    plain = after(watched(20), 1 + changes)
    wrapped = watched(20, loss=lambda outputs, y: outputs["loss"], wrap=Wrapped)
    found = after(wrapped, 1 + changes)
    assert found["opposition"] == pytest.approx(plain["opposition"])
    assert found["moving_share"] == pytest.approx(plain["moving_share"])


def test_a_loss_that_is_not_finite_is_nan_and_one_for_each_example_is_refused():
    probe = watched(10)
    assert np.isnan(after(probe, np.full(10, np.inf))["unlearned"])
    assert np.isnan(after(probe, np.ones(10))["opposition"])
    with pytest.raises(ValueError, match=r"one example must be one number, got \(1, 2\)"):
        watched(10, loss=lambda outputs, y: torch.zeros(1, 2))
