"""The curvature of a step against what is known of quadratics, and what becomes of bad steps."""

import json
import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from largestep.deep import HoldEdge, LossStabilization

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2)
    )


def train(model, optimizer, controller, steps, seed=1):
    torch.manual_seed(seed)
    losses = []
    for _ in range(steps):
        batch = torch.randint(len(X), (16,))

        def loss_of_batch():
            return functional.cross_entropy(model(X[batch]), Y[batch])  # noqa: B023

        loss = loss_of_batch()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if controller is not None:
            controller.step(loss, loss_of_batch)
        losses.append(loss.item())
    return losses


class Quadratic:
    """½θᵀHθ, whose steps have a curvature that can be written down."""

    def __init__(self, kind, **settings):
        self.h = torch.diag(torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64))
        self.theta = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64, requires_grad=True)
        self.optimizer = kind([self.theta], **settings)

    def loss(self):
        return 0.5 * self.theta @ self.h @ self.theta

    def step(self, controller):
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        before, gradient = self.theta.detach().clone(), self.theta.grad.clone()
        self.optimizer.step()
        moved = self.theta.detach() - before
        controller.step(loss, self.loss)
        return float(moved @ self.h @ moved / -(gradient @ moved))


@pytest.mark.parametrize(
    ("kind", "settings", "factor"),
    [
        (torch.optim.SGD, {"lr": 1e-3}, 1.0),
        (torch.optim.SGD, {"lr": 1e-3, "momentum": 0.9, "nesterov": True}, 1.9),
        (torch.optim.SGD, {"lr": 1e-3, "momentum": 0.5, "dampening": 0.5}, 1.5),
        (torch.optim.Adam, {"lr": 1e-3}, 1.9),
        (torch.optim.AdamW, {"lr": 1e-3, "weight_decay": 0.1}, 1.9),
        (torch.optim.NAdam, {"lr": 1e-3, "betas": (0.8, 0.99)}, 1.8),
        (torch.optim.RMSprop, {"lr": 1e-3}, 1.0),
        (torch.optim.RMSprop, {"lr": 1e-3, "momentum": 0.7}, 1.7),
    ],
)
def test_the_first_measurement_is_the_steps_curvature(kind, settings, factor):
    """It needs no gradient, so a clipped one, or one that has a weight decay in it, is as good."""
    problem = Quadratic(kind, **settings)
    controller = HoldEdge(problem.optimizer, 100, length=10.0)
    expected = problem.step(controller)
    assert controller.curvature == pytest.approx(factor * expected, rel=1e-6)


def test_with_momentum_kappa_is_the_step_size_that_adds_up_times_the_batch_sharpness():
    """Where the gradients of batches are orthogonal; f″/(−f′) alone would be η · h/(1 − μ²)."""
    eta, momentum, h = 1e-4, 0.8, 3.0
    theta = torch.zeros(300, dtype=torch.float64)
    theta[0] = 1e-3
    theta.requires_grad_()
    optimizer = torch.optim.SGD([theta], lr=eta, momentum=momentum)
    controller = HoldEdge(optimizer, 300, length=1e9)
    controller.bounds = (eta, eta)
    for number in range(100):

        def loss_of_batch():
            return h / 2 * theta.square().sum() + theta[number]  # noqa: B023

        loss = loss_of_batch()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, loss_of_batch)
    assert controller.curvature == pytest.approx(eta * h / (1 - momentum), rel=0.05)


@pytest.mark.parametrize("kappa", [0.3, 0.7])
def test_of_one_direction_the_step_size_is_held_at_kappa_over_its_curvature(kappa):
    theta = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=1e-6)
    controller = HoldEdge(optimizer, 400, kappa=kappa, every=1)
    for _ in range(150):
        loss = 4.0 * theta.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, lambda: 4.0 * theta.square().sum())
    assert controller.get_last_lr()[0] == pytest.approx(kappa / 8, rel=0.02)
    assert controller.curvature == pytest.approx(kappa, rel=0.02)


def test_after_the_phase_it_falls_linearly_from_the_phases_mean():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    controller = HoldEdge(optimizer, 100, model=model, hold=0.5)
    held, fallen = [], []
    for step in range(100):
        train(model, optimizer, controller, 1, seed=step)
        (held if step < 49 else fallen).append(controller.get_last_lr()[0])
    assert min(held[20:]) <= fallen[0] <= max(held[20:])
    np.testing.assert_allclose(fallen, fallen[0] * np.linspace(1, 0, 51), atol=1e-12)


def test_the_phases_mean_weighs_steps_by_the_cube_of_their_number():
    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=1e-6)
    controller = HoldEdge(optimizer, every=1)
    logarithms = []
    for _ in range(200):
        loss = 4.0 * theta.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, lambda: 4.0 * theta.square().sum())
        logarithms.append(math.log(controller.get_last_lr()[0]))
    weights = np.arange(1, 201) ** 3.0
    expected = np.average(logarithms, weights=weights)
    assert controller._peak == pytest.approx(expected, rel=0.01)


def test_without_a_length_it_holds_until_it_is_told():
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    controller = HoldEdge(optimizer, model=model)
    train(model, optimizer, controller, 60)
    assert controller.get_last_lr()[0] > 0
    controller.decay(10)
    train(model, optimizer, controller, 10)
    assert controller.get_last_lr()[0] == 0


def test_groups_keep_their_ratio():
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[4].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.02)
    controller = HoldEdge(optimizer, 100, model=model)
    train(model, optimizer, controller, 30)
    first, second = controller.get_last_lr()
    assert second == pytest.approx(first / 5)
    assert first != 0.1


def test_the_extra_pass_leaves_no_trace():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    controller = HoldEdge(optimizer, 100, model=model, every=1)
    loss = functional.cross_entropy(model(X), Y)
    loss.backward()
    optimizer.step()
    state = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    controller.step(loss, lambda: functional.cross_entropy(model(X), Y))
    assert controller._measured == 1
    assert torch.equal(torch.get_rng_state(), state[0])
    assert all(torch.equal(v, state[1][k]) for k, v in model.state_dict().items())


def test_a_step_that_is_short_enough_is_the_optimizers_to_the_bit(monkeypatch):
    monkeypatch.setattr(HoldEdge, "_due", lambda self, step: False)
    alone, watched = network(), network()
    plain = torch.optim.AdamW(alone.parameters(), lr=1e-3)
    steered = torch.optim.AdamW(watched.parameters(), lr=1e-3)
    controller = HoldEdge(steered, 1000, model=watched)
    assert train(alone, plain, None, 20) == train(watched, steered, controller, 20)
    assert all(map(torch.equal, alone.parameters(), watched.parameters()))


def test_no_step_is_longer_than_it_may_be():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e6)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    controller = HoldEdge(optimizer, 100, model=model, length=0.05)
    train(model, optimizer, controller, 1)
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    assert float(moved.norm() / before.norm()) == pytest.approx(0.05, rel=1e-4)


@pytest.mark.parametrize(
    "optimizer", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "RAdam"]
)
def test_any_optimizer_learns_from_any_start(optimizer):
    for start in (1e-5, 1e-1):
        model = network()
        made = getattr(torch.optim, optimizer)(model.parameters(), lr=start)
        losses = train(model, made, HoldEdge(made, 300, model=model), 300)
        assert np.mean(losses[-20:]) < 0.5  # of log 2 = 0.69 at the start


def test_resumed_it_goes_on_to_the_same_bits():
    def made():
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
        return model, optimizer, HoldEdge(optimizer, 80, model=model)

    whole, half = made(), made()
    train(*whole, 33)
    train(*half, 33)
    state = json.loads(json.dumps(half[2].state_dict()))
    weights, memory = half[0].state_dict(), half[1].state_dict()
    model, optimizer, resumed = made()
    model.load_state_dict(weights)
    optimizer.load_state_dict(memory)
    resumed.load_state_dict(state)
    assert train(*whole, 40, seed=9) == train(model, optimizer, resumed, 40, seed=9)
    assert whole[2].get_last_lr() == resumed.get_last_lr()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda m: m[4].weight.data.fill_(math.nan), "not finite"),
        (lambda m: m[4].weight.data.mul_(1e5), "had grown to|not finite"),
    ],
)
def test_after_a_divergence_it_goes_back_and_steps_shorter(spoil, what):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    controller = HoldEdge(optimizer, 1000, model=model, every=10)
    train(model, optimizer, controller, 100)
    lr = controller.get_last_lr()[0]
    spoil(model)
    train(model, optimizer, controller, 10)
    ((step, said),) = controller.recoveries
    assert step == 110
    assert re.search(what, said)
    assert controller.get_last_lr()[0] == pytest.approx(lr / 3)
    assert all(p.isfinite().all() for p in model.parameters())
    assert np.mean(train(model, optimizer, controller, 50)) < math.log(2)


def test_after_a_collapse_it_goes_back():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = HoldEdge(optimizer, 2000, model=model)
    train(model, optimizer, controller, 200)
    with torch.no_grad():
        model[1].bias[1:].fill_(-100.0)  # all units but one are dead
    train(model, optimizer, controller, 100)
    ((_, what),) = controller.recoveries
    assert what.endswith("of the units of a layer had lost their gradient")
    assert controller.kappa == pytest.approx(1 / 1.5)
    assert (model[1].bias > -100).all()


def test_without_a_gradient_the_step_size_stays():
    theta = torch.zeros(3, requires_grad=True)
    other = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([theta, other], lr=0.1)
    controller = HoldEdge(optimizer, 100, every=1)
    for _ in range(20):
        loss = 1.0 + theta.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, lambda: 1.0 + theta.square().sum())
    assert controller.get_last_lr() == [0.1]
    assert math.isnan(controller.curvature)


def one(lr=0.1):
    return torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=lr)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: HoldEdge(one(), 0), ValueError, "steps must be at least 1"),
        (lambda: HoldEdge(one(), 10, kappa=0.0), ValueError, "kappa must be above 0"),
        (lambda: HoldEdge(one(), 10, model=3), TypeError, r"model must be a torch\.nn\.Module"),
        (lambda: HoldEdge(torch.optim.LBFGS([torch.ones(1)]), 9), TypeError, "got LBFGS"),
        (
            lambda: HoldEdge(torch.optim.SparseAdam([torch.ones(1)]), 9),
            TypeError,
            "one dense gradient, got SparseAdam",
        ),
        (lambda: HoldEdge(3, 9), TypeError, r"optimizer must be of torch\.optim, got int"),
        (
            lambda: HoldEdge(torch.optim.SGD([torch.zeros(2)], lr=0.1), 9),
            ValueError,
            "must be positive, got 0.0",
        ),
        (lambda: HoldEdge(one(0.0), 9), ValueError, "largest lr must be above 0"),
    ],
)
def test_what_cannot_be_held_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_it_needs_is_asked_for():
    optimizer = one()
    controller = HoldEdge(optimizer, 10)
    with pytest.raises(TypeError, match="needs again, which computes the batch's loss anew"):
        controller.step(1.0)
    with pytest.raises(ValueError, match="one LossStabilization, got one that has a HoldEdge"):
        LossStabilization(optimizer, 10)


def test_a_loss_that_is_not_the_batchs_is_told():
    """As when a closure looks its batch up too late."""
    model = nn.Linear(5, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    controller = HoldEdge(optimizer, 100, model=model)
    loss = functional.cross_entropy(model(X[:8]), Y[:8])
    loss.backward()
    optimizer.step()
    with pytest.warns(
        RuntimeWarning, match=r"again\(\) gives .* must be the mean loss of the same"
    ):
        controller.step(loss, lambda: functional.cross_entropy(3 * model(X[8:]), Y[8:]))
    assert math.isfinite(controller.curvature)


CALLS = iter(range(10**9))


class Drifting(nn.Module):
    """Has a state that lies where nobody looks for it."""

    def forward(self, x):
        return x * (1.0 + next(CALLS) % 7)


def test_a_module_that_does_not_repeat_is_named():
    model = nn.Sequential(nn.Linear(5, 4), Drifting(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    controller = HoldEdge(optimizer, 100, model=model)
    loss = functional.cross_entropy(model(X), Y)
    loss.backward()
    optimizer.step()
    with pytest.raises(
        ValueError, match="the module '1' changes in between and cannot be put back"
    ):
        controller.step(loss, lambda: functional.cross_entropy(model(X), Y))


class Noisy(nn.Module):
    """Draws from every global random state."""

    def forward(self, x):
        return x * (random.random() + np.random.rand() + torch.rand(()))  # noqa: NPY002


def test_random_numbers_of_every_kind_are_drawn_again():
    model = nn.Sequential(nn.Linear(5, 4), Noisy(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    controller = HoldEdge(optimizer, 100, model=model)
    train(model, optimizer, controller, 10)
    assert controller._random
    assert 0.0 < controller.curvature < math.inf


def test_what_cannot_be_put_back_is_refused_before_it_is_run():
    model = nn.Sequential(nn.Linear(5, 2))
    model.numbers = iter(range(10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    controller = HoldEdge(optimizer, 100, model=model)
    with pytest.raises(TypeError, match="numbers is an iterator"):
        train(model, optimizer, controller, 1)
    assert next(model.numbers) == 0


def test_a_phase_too_short_to_find_a_step_size_is_told():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    controller = HoldEdge(optimizer, 12, model=model)
    with pytest.warns(RuntimeWarning, match=r"κ should be 1, and was .* after 6 steps"):
        train(model, optimizer, controller, 12)
    assert controller.get_last_lr() == [0.0]


def test_gradients_of_zero_change_nothing():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    controller = HoldEdge(optimizer, model=model)
    for _ in range(30):
        loss_of_batch = lambda: 0.0 * functional.cross_entropy(model(X), Y)  # noqa: E731
        loss = loss_of_batch()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, loss_of_batch)
    assert controller.get_last_lr() == [0.1]
    assert controller.recoveries == []
    assert not controller.settled


def test_nan_from_the_start_ruins_nothing_and_is_told():
    model = network()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    controller = HoldEdge(optimizer, model=model)

    def lost(_):
        loss_of_batch = lambda: math.nan * functional.cross_entropy(model(X), Y)  # noqa: E731
        loss = loss_of_batch()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, loss_of_batch)

    list(map(lost, range(9)))
    assert [step for step, _ in controller.recoveries] == list(range(1, 10))
    with pytest.warns(RuntimeWarning, match="has gone back 10 times by step 10"):
        lost(10)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_loss_in_half_precision_is_refused():
    model = network().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    controller = HoldEdge(optimizer, model=model)
    with pytest.raises(TypeError, match=r"single precision, got torch\.bfloat16"):
        controller.step(torch.zeros((), dtype=torch.bfloat16), lambda: torch.zeros(()))


def test_units_that_die_while_the_loss_is_flat_are_seen():
    """There is nothing to learn of inputs that have both labels: no loss tells of a collapse."""
    x, y = X.repeat(2, 1), torch.arange(2).repeat_interleave(len(X))
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 60), nn.ReLU(), nn.Linear(60, 60), nn.ReLU(), nn.Linear(60, 2)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    controller = HoldEdge(optimizer, model=model, kappa=0.1)

    for step in range(1000):
        if step == 300:
            with torch.no_grad():
                model[0].bias[6:].fill_(-100.0)  # nine of ten units are dead
        batch = torch.randint(len(x), (32,))
        loss_of_batch = lambda: functional.cross_entropy(model(x[batch]), y[batch])  # noqa: B023, E731
        loss = loss_of_batch()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, loss_of_batch)
        assert loss.item() == pytest.approx(math.log(2), rel=0.2)
        if controller.recoveries:
            break
    ((when, what),) = controller.recoveries
    assert when > 300
    assert what.endswith("of the units of a layer had lost their gradient")
    assert controller.kappa == pytest.approx(0.1 / 1.5)
    assert (model[1](model[0](x)) > 0).any(0).float().mean() > 0.9
