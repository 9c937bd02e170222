import copy
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
from largestep.deep.control.loss_stabilization import LossStabilization  # noqa: E402

HELD = 50


def parameter(value=3.0):
    return torch.nn.Parameter(torch.tensor([value], dtype=torch.float64))


def quadratic(optimizer, scheduler, steps, curvature=1.0):
    """Take steps on curvature · θ²/2; return the losses and the moves."""
    (theta,) = optimizer.param_groups[0]["params"]
    losses, moves = [], []
    for _ in range(steps):
        before = theta.item()
        loss = curvature * theta.square().sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss)
        losses.append(loss.item())
        moves.append(abs(theta.item() - before))
    return losses, moves


def sgd(theta, **settings):
    return torch.optim.SGD([theta], **({"lr": 0.01} | settings))


def test_the_rule_as_its_docstring_states_it():
    theta, steps, curvature = parameter(), 80, 0.7
    optimizer = sgd(theta)
    scheduler = LossStabilization(optimizer, steps, target=0.4, length=0.05, divisor=3.0)
    by_hand, held, sizes, level = 3.0, 40, [], None
    for k in range(steps):
        loss, gradient = curvature * by_hand**2 / 2, curvature * by_hand
        if k == 0:
            eta = 0.05 * 3.0 / gradient
        by_hand -= math.copysign(min(eta * abs(gradient), 0.05 * 3.0), gradient)
        quadratic(optimizer, scheduler, 1, curvature)
        assert theta.item() == pytest.approx(by_hand, rel=1e-9)
        seen = min(loss / 0.4, 10.0)
        level = seen if level is None else level + (seen - level) / 20
        if k + 1 < held:
            eta *= math.exp(10 / held * max(1 - level, -0.3))
            sizes.append(eta)
        elif k + 1 == held:
            sizes.append(eta * math.exp(10 / held * max(1 - level, -0.3)))
            eta = math.exp(sum(map(math.log, sizes[-20:])) / 20) / 3.0
        assert scheduler.get_last_lr() == [pytest.approx(eta, rel=1e-9)]


@pytest.mark.parametrize("curvature", [1e-3, 1.0, 1e3])
def test_the_step_size_whose_plateau_is_the_target_is_found(curvature):
    # The loss c(θ − ξ)²/2 with noise ξ of variance 1: at a constant step size η the stationary
    # variance of θ is ηc/(2 − ηc), and so the plateau c/(2 − ηc). It is c for η = 1/c.
    theta = parameter(10.0)
    optimizer = sgd(theta)
    scheduler = LossStabilization(optimizer, 4000, divisor=2.0, target=curvature, length=1.0)
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    losses = []
    for xi in noise:
        loss = curvature * (theta - xi).square().sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss)
        losses.append(loss.item() / curvature)
    assert sum(losses[1000:]) / 1000 == pytest.approx(1.0, rel=0.15)
    assert 2.0 * scheduler.get_last_lr()[0] * curvature == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("calm_steps", [30, 150])
def test_no_step_is_longer_than_the_bound_even_at_a_gradient_burst(momentum, calm_steps):
    theta = parameter()
    optimizer = sgd(theta, momentum=momentum)
    scheduler = LossStabilization(optimizer, 200, length=0.05)
    _, calm = quadratic(optimizer, scheduler, calm_steps)
    _, burst = quadratic(optimizer, scheduler, 30, curvature=1e12)
    assert max(calm + burst) <= 0.05 * 3.0 * (1 + 1e-9)
    assert max(burst) > 0.5 * 0.05 * 3.0 * (1 - momentum)


def test_a_flat_start_is_left_at_once():
    # With the optimiser's own step size this would take ten million steps. The gradient, 1e-9,
    # is also far below what clip_grad_norm_ adds to a norm.
    theta = parameter(0.1)
    optimizer = sgd(theta, lr=10.0)
    quadratic(optimizer, LossStabilization(optimizer, 100), 30, curvature=1e-8)
    assert abs(theta.item()) < 0.05


def test_groups_keep_their_own_ratio():
    thetas = parameter(1.0), parameter(2.0)
    groups = [{"params": [thetas[0]], "lr": 0.02}, {"params": [thetas[1]], "lr": 0.005}]
    optimizer = torch.optim.SGD(groups)
    scheduler = LossStabilization(optimizer, 20, length=0.1)
    for k in range(20):
        before = torch.stack([t.detach().clone() for t in thetas])
        loss = sum(t.square().sum() for t in thetas)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss)
        first, second = scheduler.get_last_lr()
        assert first == pytest.approx(4 * second, rel=1e-12)
        move = (torch.stack([t.detach() for t in thetas]) - before).norm().item()
        if k == 0:
            # Not only the step's length but its direction too: along (η₁g₁, η₂g₂).
            assert move == pytest.approx(0.1 * math.sqrt(5), rel=1e-9)
            expected = [2 * 4, 2 * 2]
            moved = [1.0 - thetas[0].item(), 2.0 - thetas[1].item()]
            assert moved[0] / moved[1] == pytest.approx(expected[0] / expected[1], rel=1e-6)


@pytest.mark.parametrize("at", [0, 1, 17, 49, 50, 70])
def test_a_state_through_json_restores_every_bit(at):
    theta = parameter()
    optimizer = sgd(theta, momentum=0.5)
    scheduler = LossStabilization(optimizer, 100, target=0.3)
    quadratic(optimizer, scheduler, at)
    saved = json.dumps(scheduler.state_dict())
    other = parameter(theta.item())
    other_optimizer = sgd(other, momentum=0.5)
    other_scheduler = LossStabilization(other_optimizer, 100)
    other_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    other_scheduler.load_state_dict(json.loads(saved))
    quadratic(optimizer, scheduler, 100 - at)
    quadratic(other_optimizer, other_scheduler, 100 - at)
    assert other.item() == theta.item()
    assert other_scheduler.state_dict() == scheduler.state_dict()


def test_a_foreign_state_is_refused():
    scheduler = LossStabilization(sgd(parameter()), 100)
    with pytest.raises(ValueError, match="not one of a LossStabilization"):
        scheduler.load_state_dict({"lr": [0.1], "last_epoch": 3})
    with pytest.raises(ValueError, match="of as many groups"):
        scheduler.load_state_dict(scheduler.state_dict() | {"lr": [0.1, 0.2]})


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_halves_the_step_size_and_is_forgotten(loss):
    optimizer = sgd(parameter())
    scheduler = LossStabilization(optimizer, 100)
    quadratic(optimizer, scheduler, 10)
    before, level = scheduler.get_last_lr()[0], scheduler.level
    optimizer.step()
    scheduler.step(torch.tensor(loss))
    assert scheduler.get_last_lr() == [before / 2]
    assert scheduler.level == level


def test_a_spike_is_forgotten():
    sizes = []
    for spike in (0.1, 1e30):
        optimizer = sgd(parameter())
        scheduler = LossStabilization(optimizer, 4000, target=1.0)
        quadratic(optimizer, scheduler, 1)
        for loss in [0.1] * 50 + [spike] + [0.1] * 200:
            optimizer.step()
            scheduler.step(loss)
        sizes.append(scheduler.get_last_lr()[0])
    assert 0.9 < sizes[1] / sizes[0] < 1.0


@settings(max_examples=200, deadline=None)
@given(
    losses=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=150),
    start=st.floats(1e-12, 1e12),
    target=st.none() | st.floats(1e-300, 1e300),
)
def test_any_losses_leave_the_step_size_finite_and_in_its_bounds(losses, start, target):
    optimizer = sgd(parameter(), lr=start)
    scheduler = LossStabilization(optimizer, 2 * HELD, target=target)
    (theta,) = optimizer.param_groups[0]["params"]
    for k, loss in enumerate(losses):
        theta.grad = torch.ones_like(theta) * 10.0 ** (k % 60 - 30)
        optimizer.step()
        scheduler.step(loss)
        (step_size,) = scheduler.get_last_lr()
        assert start * 1e-6 * (1 - 1e-12) <= step_size <= start * 1e6 * (1 + 1e-12)


def test_gradients_of_zero_and_losses_of_zero_are_survived():
    theta = parameter()
    optimizer = sgd(theta)
    scheduler = LossStabilization(optimizer, 100)
    for _ in range(100):
        theta.grad = torch.zeros_like(theta)
        optimizer.step()
        scheduler.step(0.0)
    assert theta.item() == 3.0
    assert math.isfinite(scheduler.get_last_lr()[0])


def test_a_step_that_a_gradient_scaler_skipped_changes_nothing():
    scheduler = LossStabilization(sgd(parameter()), 100)
    scheduler.step(1.0)
    assert scheduler.get_last_lr() == [0.01]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"steps": 1.5}, TypeError, "steps must be an integer"),
        ({"target": 0.0}, ValueError, "target must be above 0"),
        ({"target": math.nan}, ValueError, "target must be finite"),
        ({"hold": 0.0}, ValueError, "hold must be above 0"),
        ({"hold": 1.1}, ValueError, "at most 1"),
        ({"divisor": 0.0}, ValueError, "divisor must be above 0"),
        ({"length": -1.0}, ValueError, "length must be above 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        LossStabilization(sgd(parameter()), **({"steps": 10} | settings))


def test_optimisers_that_cannot_be_steered_are_refused():
    with pytest.raises(TypeError, match="SGD, got Adam"):
        LossStabilization(torch.optim.Adam([parameter()]), 10)
    with pytest.raises(ValueError, match="largest lr"):
        LossStabilization(sgd(parameter(), lr=0.0), 10)
    with pytest.raises(ValueError, match="must be positive and finite"):
        LossStabilization(sgd(parameter(0.0)), 10)


def test_digits_are_learned_from_a_hopeless_step_size_without_a_collapse():
    sklearn = pytest.importorskip("sklearn.datasets")
    digits = sklearn.load_digits()
    x = torch.tensor(digits.images[:600], dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target[:600])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, stride=2),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(128, 10),
        )
    optimizer = torch.optim.SGD(model.parameters(), lr=100.0)
    scheduler = LossStabilization(optimizer, 320)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        for batch in torch.randperm(500, generator=generator)[:480].split(30):
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step(loss)
    with torch.no_grad():
        error = (model(x[500:]).argmax(1) != y[500:]).float().mean().item()
    assert error < 0.15


def linear(**options):
    """Return a linear model with gradients, its SGD and what holds its loss."""
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **options)
    controller = LossStabilization(optimizer, 10)
    return model, optimizer, controller


def test_a_step_without_gradients_is_none():
    model, optimizer, controller = linear()
    before = model.weight.clone()
    optimizer.step()
    controller.step(1.0)
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("given", [(), (None,), "closure"])
def test_a_closures_gradients_are_shortened_like_any_others(given):
    thetas, sizes = [], []
    for closed in (False, True):
        theta = parameter()
        optimizer = sgd(theta, lr=100.0)
        controller = LossStabilization(optimizer, 20)

        def closure():
            loss = theta.square().sum() / 2  # noqa: B023
            optimizer.zero_grad()  # noqa: B023
            loss.backward()
            return loss

        for _ in range(10):
            if closed and given == "closure":
                loss = optimizer.step(closure=closure)
            else:
                loss = closure()
                optimizer.step(*(given if closed and given != "closure" else ()))
            controller.step(loss)
        thetas.append(theta.item())
        sizes.append(controller.get_last_lr())
    assert thetas[0] == thetas[1] != 3.0
    assert sizes[0] == sizes[1]


def test_another_scheduler_is_overruled_during_and_after_the_phase():
    theta = parameter()
    optimizer = sgd(theta)
    controller = LossStabilization(optimizer, 20, target=1.0)
    other = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    quadratic(optimizer, controller, 1)
    other.step()
    with pytest.warns(RuntimeWarning, match="overruled by .*: leave out the other scheduler"):
        quadratic(optimizer, controller, 1)
    for _ in range(18):
        other.step()
        quadratic(optimizer, controller, 1)
    alone = parameter()
    optimizer = sgd(alone)
    quadratic(optimizer, LossStabilization(optimizer, 20, target=1.0), 20)
    assert theta.item() == alone.item()


def test_a_second_controller_of_one_optimizer_is_refused():
    optimizer = sgd(parameter())
    LossStabilization(optimizer, 10)
    with pytest.raises(ValueError, match="has a LossStabilization already"):
        LossStabilization(optimizer, 10)


def test_a_group_that_is_added_later_is_refused():
    optimizer = sgd(parameter())
    LossStabilization(optimizer, 10)
    optimizer.add_param_group({"params": [parameter()]})
    with pytest.raises(RuntimeError, match=r"had 1 parameter groups .* has 2 now: add all groups"):
        optimizer.step()


def test_an_optimizer_that_steps_without_it_is_noticed():
    theta = parameter()
    optimizer = sgd(theta)
    LossStabilization(optimizer, 10)
    optimizer.step()
    with pytest.warns(RuntimeWarning, match="Call it after every"):
        optimizer.step()


def test_losses_between_two_steps_are_averaged():
    found = []
    for losses in ([3.0], [1.0, 5.0], [1.0, 2.0, 6.0]):
        theta = parameter()
        optimizer = sgd(theta)
        controller = LossStabilization(optimizer, 20, target=1.0)
        for _ in range(5):
            for loss in losses[:-1]:  # of parts of a batch
                controller.step(torch.tensor(loss))
            theta.grad = torch.ones_like(theta)
            optimizer.step()
            controller.step(losses[-1])
        found.append((controller.taken, controller.get_last_lr(), controller.level))
    assert found[0] == found[1] == found[2]
    assert found[0][0] == 5


def test_calls_for_another_optimizer_are_noticed():
    optimizer = sgd(parameter())
    controller = LossStabilization(optimizer, 10)
    for _ in range(99):
        controller.step(1.0)
    with pytest.warns(RuntimeWarning, match="called 100 times and the optimizer has not stepped"):
        controller.step(1.0)
    assert controller.taken == 0


def test_a_target_out_of_reach_is_said_at_the_end_of_the_phase():
    theta = parameter()
    optimizer = sgd(theta)
    controller = LossStabilization(optimizer, 200)
    for loss in [2.0] + [1.5] * 98:
        theta.grad = torch.ones_like(theta)
        optimizer.step()
        controller.step(loss)
    optimizer.step()
    with pytest.warns(
        RuntimeWarning, match=r"target 0\.2 while .* 20 steps was 1\.50[0-9]* at best"
    ):
        controller.step(1.5)


@pytest.mark.parametrize("unscaled", [False, True])
def test_scaled_gradients_take_the_same_steps(unscaled):
    found = []
    for scale in (1.0, 2.0**16):
        torch.manual_seed(0)
        model, optimizer, controller = linear()
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        loss = model(torch.ones(4, 3)).square().mean()
        scaler.scale(loss).backward()
        if unscaled:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        controller.step(loss)
        found.append(controller.get_last_lr())
    assert found[0] == found[1]


def test_gradients_that_a_fused_optimizer_would_unscale_are_refused():
    model, optimizer, _ = linear(fused=True)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(model(torch.ones(4, 3)).square().mean()).backward()
    with pytest.raises(RuntimeError, match="unscale_"):
        scaler.step(optimizer)


def test_a_state_of_something_else_is_refused():
    _, _, controller = linear()
    with pytest.raises(ValueError, match="not one of a LossStabilization"):
        controller.load_state_dict({"last_epoch": 3})


def test_a_loss_that_is_almost_zero_sets_no_target():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    controller = LossStabilization(optimizer, 10)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    optimizer.step()
    controller.step(5e-324)
    assert controller.target is None
    optimizer.step()
    controller.step(1.0)
    assert controller.target == 0.1
