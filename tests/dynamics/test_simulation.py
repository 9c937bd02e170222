import json
import signal
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr

import largestep as ls
from largestep import measures
from largestep.dynamics import GD, SGD, HoldLoss, simulation
from largestep.jobs import threads
from largestep.measures import Measure
from largestep.schedules import Schedule, decay


def sgd_by_hand(problem, theta, order, step_sizes, factor=1.0, cap=np.inf):
    """Take the steps one by one, as one would write them down."""
    d = problem.d
    u, v = theta[:d].copy(), theta[d:].copy()
    for batch, step_size in zip(order, step_sizes, strict=True):
        x, y = problem.x_train[batch], problem.y_train[batch]
        residuals = x @ (u * v) - y
        with np.errstate(divide="ignore"):
            own = np.minimum(step_size, cap / (factor * (x**2 @ (u**2 + v**2))))
        gradient = (own * residuals) @ x * factor / len(batch)
        u, v = u - gradient * v, v - gradient * u
    return np.concatenate([u, v])


def end(runs):
    return runs.parameters.isel(schedule=0, seed=0, step=-1).values


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("cap", [None, 0.5])
def test_a_given_order_is_replayed_exactly(sparse_problem, diagonal, rng, batch, cap):
    order = rng.integers(0, sparse_problem.n, size=(1000, batch))
    schedule = decay(0.2, factor=3, at=0.4)
    runs = ls.simulate(
        diagonal,
        sparse_problem,
        SGD(batch_size=batch, cap=cap),
        schedule,
        steps=1000,
        order=order,
        measure=["parameters"],
    )
    expected = sgd_by_hand(
        sparse_problem,
        diagonal.initialize(rng),
        order,
        schedule(np.arange(1000) / 1000),
        cap=np.inf if cap is None else cap,
    )
    np.testing.assert_allclose(end(runs), expected, rtol=1e-10, atol=1e-14)


def test_gd_follows_its_recursion(sparse_problem, diagonal, rng):
    runs = ls.simulate(
        diagonal, sparse_problem, GD(), 0.3, steps=400, measure=["parameters", "train_loss"]
    )
    everyone = np.tile(np.arange(sparse_problem.n), (400, 1))
    expected = sgd_by_hand(sparse_problem, diagonal.initialize(rng), everyone, np.full(400, 0.3))
    np.testing.assert_allclose(end(runs), expected, rtol=1e-10)
    residuals = diagonal.predict(expected, sparse_problem.x_train) - sparse_problem.y_train
    loss = np.mean(residuals**2) / 2
    assert runs.train_loss.isel(schedule=0, seed=0, step=-1) == pytest.approx(loss, rel=1e-6)


def test_the_loss_r2_carries_a_factor_two(rng):
    network = ls.networks.ReLU(widths=(3, 5))
    theta = network.initialize(rng)
    x, y = rng.standard_normal((4, 3)), rng.standard_normal(4)
    problem = ls.problems.Problem(x, y, loss=ls.losses.Squared(1.0))
    runs = ls.simulate(
        network, problem, GD(), 0.01, steps=1, initial=theta, measure=["parameters", "train_loss"]
    )
    residuals = network.predict(theta, problem.x_train) - problem.y_train
    gradient = 2 * residuals @ network.jacobian(theta, problem.x_train) / 4
    np.testing.assert_allclose(end(runs), theta - 0.01 * gradient, rtol=1e-12)
    assert runs.train_loss.values[0, 0, 0] == pytest.approx(np.mean(residuals**2))


def test_gradient_flow_conserves_u2_minus_v2_and_one_large_step_multiplies_it(
    sparse_problem, diagonal, rng
):
    flow = ls.simulate(
        diagonal, sparse_problem, GD(), 1e-4, steps=20_000, measure=["parameters"]
    ).parameters.isel(schedule=0, seed=0)
    balance = flow.values[:, :8] ** 2 - flow.values[:, 8:] ** 2
    np.testing.assert_allclose(balance[-1], balance[0], rtol=2e-4)

    step = ls.simulate(
        diagonal, sparse_problem, SGD(), 0.3, steps=1, order=[[5]], measure=["parameters"]
    ).parameters.isel(schedule=0, seed=0)
    x, y = sparse_problem.x_train[5], sparse_problem.y_train[5]
    residual = x @ diagonal.coefficients(step.values[0]) - y
    before, after = (theta[:8] ** 2 - theta[8:] ** 2 for theta in step.values)
    np.testing.assert_allclose(after, before * (1 - (0.3 * residual * x) ** 2), rtol=1e-12)


def test_other_seeds_and_records_change_no_bit(sparse_problem, diagonal):
    schedules = {"a": 0.1, "b": decay(0.3, factor=2, at=0.5)}
    few, many = (
        ls.simulate(
            diagonal,
            sparse_problem,
            SGD(2),
            schedules,
            steps=3000,
            seeds=seeds,
            record=record,
            measure=["parameters"],
        )
        for seeds, record in (([3, 1], [17, 3000]), (range(4), None))
    )
    same = many.sel(seed=[3, 1], step=[17, 3000])
    xr.testing.assert_identical(few.parameters, same.parameters)
    xr.testing.assert_identical(few.step_size, same.step_size)


def test_a_diverged_trajectory_stops_says_when_and_leaves_the_others_alone(
    sparse_problem, diagonal, rng
):
    order = rng.integers(0, sparse_problem.n, size=(500, 1))
    runs = ls.simulate(
        diagonal, sparse_problem, SGD(), {"calm": 0.05, "wild": 3.0}, steps=500, order=order
    )
    completed = 0
    theta = diagonal.initialize(rng)
    while True:
        i = order[completed, 0]
        residual = diagonal.predict(theta, sparse_problem.x_train)[i] - sparse_problem.y_train[i]
        if not abs(residual) <= simulation.RESIDUAL_BOUND:
            break
        theta = sgd_by_hand(sparse_problem, theta, order[completed : completed + 1], [3.0])
        completed += 1
    assert runs.diverged_at.sel(schedule="wild").item() == completed
    assert np.isnan(runs.diverged_at.sel(schedule="calm").item())
    wild = runs.train_loss.sel(schedule="wild").squeeze("seed")
    assert wild.sel(step=slice(completed + 1, None)).isnull().all()
    assert wild.isel(step=0).notnull()
    assert runs.train_loss.sel(schedule="calm").notnull().all()
    alone = ls.simulate(diagonal, sparse_problem, SGD(), 0.05, steps=500, order=order)
    np.testing.assert_array_equal(
        alone.train_loss.values[0], runs.train_loss.sel(schedule="calm").values
    )


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_a_residual_that_overflows_is_a_divergence_too(sparse_problem, diagonal, rng):
    order = rng.integers(0, sparse_problem.n, size=(100, 1))
    runs = ls.simulate(
        diagonal, sparse_problem, SGD(), 3.0, steps=100, order=order, residual_bound=1e308
    )
    theta, completed = diagonal.initialize(rng), 0
    with np.errstate(all="ignore"):
        while np.isfinite(diagonal.predict(theta, sparse_problem.x_train)[order[completed, 0]]):
            theta = sgd_by_hand(sparse_problem, theta, order[completed : completed + 1], [3.0])
            completed += 1
    assert 0 < completed < 100
    assert runs.diverged_at.item() == completed
    assert runs.train_loss.sel(step=slice(completed + 1, None)).isnull().all()


def test_what_happens_after_the_last_record_is_not_simulated(sparse_problem, diagonal):
    settings = {"schedules": 3.0, "steps": 500}
    full = ls.simulate(diagonal, sparse_problem, **settings)
    last = int(full.diverged_at.item()) - 1
    short = ls.simulate(diagonal, sparse_problem, **settings, record=[0, last])
    assert np.isnan(short.diverged_at.item())
    assert short.step.values.tolist() == [0, last]
    assert short.attrs["steps"] == 500


def test_a_seed_has_the_same_examples_under_every_schedule(sparse_problem, diagonal):
    runs = ls.simulate(
        diagonal, sparse_problem, schedules={"a": 0.1, "b": 0.1}, steps=100, seeds=[0, 1]
    )
    np.testing.assert_array_equal(*runs.train_loss.values)
    assert not np.array_equal(*runs.train_loss.values[0])


def test_one_schedule_is_labelled_by_its_description(sparse_problem, diagonal):
    schedule = decay(0.3, factor=2, at=0.5)
    runs = ls.simulate(diagonal, sparse_problem, schedules=schedule, steps=2)
    assert runs.schedule.values.tolist() == ["0.3, divided by 2 at 50%"]


def test_a_start_beyond_the_bound_has_diverged_before_the_first_step(sparse_problem, diagonal):
    runs = ls.simulate(diagonal, sparse_problem, SGD(), 0.1, steps=5, initial=np.full(16, 1e100))
    assert runs.diverged_at.item() == 0
    assert runs.train_loss.isnull().all()


def test_the_default_grid_is_dense_at_first_and_ends_at_the_end(sparse_problem, diagonal):
    runs = ls.simulate(diagonal, sparse_problem, schedules=0.1, steps=50_000)
    steps = runs.step.values
    np.testing.assert_array_equal(steps[:101], np.arange(101))
    assert steps[-1] == 50_000
    assert 300 < len(steps) < 360
    assert ls.simulate(diagonal, sparse_problem, schedules=0.1, steps=1).step.values.tolist() == [
        0,
        1,
    ]


def test_the_step_size_is_that_of_the_last_step(sparse_problem, diagonal):
    runs = ls.simulate(
        diagonal, sparse_problem, SGD(), decay(0.2, factor=2, at=0.5), steps=10, record=range(11)
    )
    np.testing.assert_allclose(runs.step_size.values[0, 0], [0.2] * 6 + [0.1] * 5)


def test_the_dataset_says_what_it_holds_and_survives_netcdf(sparse_problem, diagonal, tmp_path):
    runs = ls.simulate(
        diagonal,
        sparse_problem,
        SGD(),
        {"small": 0.1, "large": decay(0.3, factor=2, at=0.5)},
        steps=50,
        seeds=[5, 2],
        measure=["train_loss", measures.jacobian_rank((1e-4, 1e-8), every=10)],
    )
    assert runs.train_loss.dims == ("schedule", "seed", "step")
    assert runs.jacobian_rank.dims == ("schedule", "seed", "step", "threshold")
    assert runs.seed.values.tolist() == [5, 2]
    assert runs.train_loss.attrs["units"] == "1"
    assert json.loads(runs.attrs["schedules"])["large"] == "0.3, divided by 2 at 50%"
    assert "DiagonalLinear(d=8" in runs.attrs["network"]
    ranked = runs.jacobian_rank.isel(schedule=0, seed=0, threshold=0)
    assert ranked.notnull().values.nonzero()[0].tolist() == [0, 10, 20, 30, 40, 50]
    runs.to_netcdf(tmp_path / "runs.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "runs.nc", engine="h5netcdf") as stored:
        xr.testing.assert_identical(stored.load(), runs)


def test_a_measure_of_the_users_own(sparse_problem, diagonal):
    def norm(network, problem, thetas):
        return np.linalg.norm(thetas, axis=1)

    runs = ls.simulate(
        diagonal,
        sparse_problem,
        schedules=0.1,
        steps=20,
        measure=[Measure("norm", norm, "norm of θ"), "parameters"],
    )
    np.testing.assert_allclose(runs.norm, np.linalg.norm(runs.parameters, axis=-1))


def test_every_seed_may_have_its_own_start_and_order(sparse_problem, diagonal, rng):
    starts = rng.standard_normal((2, 16)) * 0.1
    order = rng.integers(0, sparse_problem.n, size=(2, 30, 1))
    both = ls.simulate(
        diagonal,
        sparse_problem,
        schedules=0.1,
        steps=30,
        seeds=[0, 1],
        initial=starts,
        order=order,
        measure=["parameters"],
    )
    for k in range(2):
        one = ls.simulate(
            diagonal,
            sparse_problem,
            schedules=0.1,
            steps=30,
            initial=starts[k],
            order=order[k],
            measure=["parameters"],
        )
        np.testing.assert_array_equal(one.parameters[0, 0], both.parameters[0, k])


def test_an_error_in_a_measure_stops_everything(sparse_problem, diagonal):
    begun = threading.Event()

    def interrupted(network, problem, thetas):
        begun.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ls.simulate(
            diagonal,
            sparse_problem,
            schedules=0.1,
            steps=1000,
            seeds=range(20),
            measure=[Measure("broken", interrupted, "broken")],
            threads=2,
        )
    assert begun.is_set()


class CountedSchedule(Schedule):
    """Asked once for each stretch of steps: counts how much has been simulated."""

    def __init__(self):
        self.calls = 0
        self.begun = threading.Event()
        self.well_under_way = threading.Event()

    def _at(self, t):
        self.calls += 1
        self.begun.set()
        if self.calls >= 50:
            self.well_under_way.set()
        return np.full(len(t), 0.01)


# Far more than a test could wait for, were they all simulated: 3052 stretches a trajectory.
MANY_STEPS = 200_000_000


def test_an_error_stops_trajectories_in_the_middle(sparse_problem, diagonal):
    schedule = CountedSchedule()

    def interrupted(network, problem, thetas):
        assert schedule.begun.wait(10)
        raise KeyboardInterrupt

    # The first seed diverges soon and is measured while the second is under way.
    starts = np.stack([np.full(16, 100.0), np.full(16, 0.1)])
    with pytest.raises(KeyboardInterrupt):
        ls.simulate(
            diagonal,
            sparse_problem,
            schedules=schedule,
            steps=MANY_STEPS,
            seeds=range(2),
            initial=starts,
            record=[0, MANY_STEPS],
            measure=[Measure("broken", interrupted, "broken")],
            threads=2,
        )
    assert schedule.calls < 1000


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_control_c_stops_trajectories_in_the_middle(sparse_problem, diagonal):
    schedule = CountedSchedule()
    finished = threading.Event()

    def press():
        # By then every trajectory is submitted, and the main thread waits for them.
        if schedule.well_under_way.wait(10) and not finished.is_set():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        ls.simulate(
            diagonal,
            sparse_problem,
            schedules=schedule,
            steps=MANY_STEPS,
            seeds=range(4),
            record=[0, MANY_STEPS],
            threads=2,
        )
    finished.set()
    presser.join()
    assert schedule.calls < 1000


def test_control_c_while_trajectories_are_submitted_stops_those_begun(
    sparse_problem, diagonal, monkeypatch
):
    schedule = CountedSchedule()

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *arguments):
            if schedule.begun.is_set():
                raise KeyboardInterrupt
            future = super().submit(*arguments)
            assert schedule.begun.wait(10)
            return future

    monkeypatch.setattr(threads, "ThreadPoolExecutor", Interrupted)
    steps = MANY_STEPS // 10
    with pytest.raises(KeyboardInterrupt):
        ls.simulate(
            diagonal,
            sparse_problem,
            schedules=schedule,
            steps=steps,
            seeds=range(2),
            record=[0, steps],
            threads=2,
        )
    assert schedule.calls < 200


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": -5}, ValueError, "steps"),
        ({"steps": 1.5}, TypeError, "steps must be an integer"),
        ({"seeds": [1, 1]}, ValueError, "distinct, got 1 more than once"),
        ({"seeds": []}, ValueError, "at least one seed"),
        ({"seeds": [0.5]}, TypeError, "seeds must be an integer"),
        ({"seeds": True}, TypeError, "seeds must be an integer"),
        ({"steps": np.nan}, TypeError, "steps must be an integer"),
        ({"schedules": -0.1}, ValueError, "schedules must be at least 0"),
        ({"schedules": {"a": 0.1, "b": np.inf}}, ValueError, r"schedules\['b'\] must be finite"),
        ({"schedules": "0.1"}, TypeError, "schedules must be a number"),
        ({"threads": 1.5}, TypeError, "threads must be an integer"),
        ({"record": []}, TypeError, "record must hold integers"),
        ({"record": [2, 2]}, ValueError, "record must increase"),
        ({"record": [-1, 2]}, ValueError, "record must increase within"),
        ({"order": np.zeros((9, 1), int)}, ValueError, "order must have shape"),
        ({"order": np.zeros(10, int)}, ValueError, "order must have shape"),
        ({"order": np.zeros((3, 10, 1), int)}, ValueError, "order must have shape"),
        ({"order": np.full((10, 1), -1)}, ValueError, "indices from 0 to 11, got -1"),
        ({"initial": np.zeros((3, 16))}, ValueError, "initial must have shape"),
        ({"residual_bound": np.inf}, ValueError, "residual_bound must be finite"),
        ({"network": ls.networks.DiagonalLinear}, TypeError, "it is a class: call it"),
        ({"seeds": -1}, ValueError, "seeds"),
        ({"schedules": np.nan}, ValueError, "schedules must be finite, got nan"),
        ({"schedules": {}}, ValueError, "at least one schedule"),
        ({"schedules": None}, ValueError, "schedules must be given"),
        ({"dynamics": HoldLoss()}, ValueError, "HoldLoss controls its step size"),
        ({"dynamics": GD(), "order": np.zeros((10, 12), int)}, ValueError, "every example"),
        ({"threads": 0}, ValueError, "threads"),
        ({"record": [5, 3]}, ValueError, "record must increase"),
        ({"record": [0, 11]}, ValueError, "record must increase within"),
        ({"record": [0.5]}, TypeError, "record must hold integers"),
        ({"order": np.zeros((10, 2), int)}, ValueError, "order must have shape"),
        ({"order": np.full((10, 1), 12)}, ValueError, "indices from 0 to 11, got 12"),
        ({"order": np.zeros((10, 1))}, TypeError, "order must hold integer"),
        ({"initial": np.zeros(3)}, ValueError, "initial must have shape"),
        ({"initial": np.full(16, np.nan)}, ValueError, "initial must be finite"),
        ({"measure": ["accuracy"]}, ValueError, "measure must be one of batch_sharpness"),
        ({"measure": ["train_loss"] * 2}, ValueError, "'train_loss' twice"),
        ({"measure": [Measure("step", len, "x")]}, ValueError, "name of its own, got 'step'"),
        (
            {"measure": [Measure("n", lambda n, p, t: np.float64(1), "n")]},
            ValueError,
            "of shape",
        ),
        ({"schedules": {1: 0.1, "1": 0.2}}, ValueError, "labels that differ"),
        ({"record": np.array([5, 3], np.uint64)}, ValueError, "record must increase"),
        ({"residual_bound": 0.0}, ValueError, "residual_bound"),
        ({"dynamics": SGD}, TypeError, "it is a class: call it"),
        ({"network": ls.networks.DiagonalLinear(d=3)}, ValueError, "as many inputs"),
        ({"problem": np.zeros(3)}, TypeError, "problem must be a Problem"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    sparse_problem, diagonal, settings, error, message
):
    given = {
        "network": diagonal,
        "problem": sparse_problem,
        "dynamics": SGD(),
        "schedules": 0.1,
        "steps": 10,
        **settings,
    }
    with pytest.raises(error, match=message):
        ls.simulate(**given)


def test_dynamics_refuse_impossible_settings():
    with pytest.raises(ValueError, match="batch_size"):
        SGD(batch_size=0)
    with pytest.raises(ValueError, match="cap must be above 0"):
        SGD(cap=0.0)


def test_the_cap_keeps_the_plateau_from_diverging():
    problem = ls.problems.sparse_regression(n=80, d=200, nonzeros=20, seed=0)
    runs = {
        cap: ls.simulate(
            ls.networks.DiagonalLinear(d=200),
            problem,
            SGD(cap=cap),
            0.3,
            steps=20_000,
            seeds=range(6),
            record=[0, 20_000],
        )
        for cap in (None, 4.0)
    }
    assert runs[None].diverged_at.notnull().any()
    assert runs[4.0].diverged_at.isnull().all()


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (lambda steps: np.full((steps, 1), 12), "order must hold indices from 0 to 11, got 12"),
        (lambda steps: np.full((steps, 1), -1), "order must hold indices from 0 to 11, got -1"),
        (lambda steps: np.zeros((steps + 1, 1), np.int64), "order must have shape"),
        (lambda steps: np.zeros((steps, 0), np.int64), "order must have shape"),
        (lambda steps: np.zeros((steps, 1)), "order must be an array of int64"),
    ],
)
def test_a_dynamics_of_ones_own_cannot_lead_out_of_the_examples(
    diagonal, sparse_problem, examples, message
):
    class Own(ls.dynamics.SGD):
        def examples(self, trajectory, steps):
            return examples(steps)

    with pytest.raises((TypeError, ValueError), match=message):
        ls.simulate(diagonal, sparse_problem, Own(), 0.1, steps=5)


def test_any_kind_of_number_is_a_setting(diagonal, sparse_problem):
    third = Fraction(1, 4)
    plain = SGD(batch_size=2, cap=0.25, momentum=0.25)
    assert SGD(batch_size=np.int8(2), cap=third, momentum=np.float16(0.25)) == plain
    runs = [
        ls.simulate(ls.networks.DiagonalLinear(8, u0=u0), sparse_problem, of, u0, steps=5)
        for of, u0 in ((SGD(2, third, third), third), (plain, 0.25))
    ]
    xr.testing.assert_identical(*runs)
    for bad in (10**400, 10**5000, -(10**400)):
        with pytest.raises(ValueError, match="cap must be finite, got"):
            SGD(cap=bad)
        with pytest.raises(ValueError, match="batch_size must be at"):
            SGD(batch_size=bad)


def test_memory_grows_with_what_is_returned_alone(sparse_problem, diagonal, monkeypatch):
    monkeypatch.setattr(simulation, "_BLOCK_BYTES", 1 << 16)  # few trajectories fill the blocks

    def peak(number):
        tracemalloc.start()
        runs = ls.simulate(diagonal, sparse_problem, None, 0.1, steps=10, seeds=range(number))
        beyond = tracemalloc.get_traced_memory()[1] - runs.nbytes
        tracemalloc.stop()
        return beyond

    peak(20)
    few, many = peak(1000), peak(2000)
    # At the 2.7 kB that a trajectory once took beyond its result, 1000 more would take 2.7 MB.
    assert many < few + 750_000


def test_blocks_change_no_bit(sparse_problem, diagonal, monkeypatch):
    """Trajectories that are measured together are what they are alone, diverged ones too."""
    schedules = {"calm": 0.1, "wild": 2.0}
    measure = ["train_loss", "predictions", "nonzero_coordinates", "jacobian_rank"]

    def run():
        return ls.simulate(
            diagonal, sparse_problem, None, schedules, steps=30, seeds=range(9), measure=measure
        )

    together = run()
    assert together.diverged_at.notnull().any()
    monkeypatch.setattr(simulation, "_BLOCK_BYTES", 1)
    assert together.identical(run())


def test_a_network_of_ones_own_is_given_one_trajectory_at_a_time(sparse_problem):
    class Flat(ls.networks.DiagonalLinear):
        def predict(self, theta, x):
            assert theta.ndim == 2
            return (theta[:, :8] * theta[:, 8:]) @ x.T

    own, ours = Flat(8), ls.networks.DiagonalLinear(8)
    runs = [ls.simulate(n, sparse_problem, None, 0.1, steps=9, seeds=range(4)) for n in (own, ours)]
    np.testing.assert_array_equal(runs[0].train_loss, runs[1].train_loss)
