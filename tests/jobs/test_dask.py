"""Dask's workers: they give what threads give, and when they die their work is done again."""

import os
import signal
import sys
from concurrent.futures import Executor
from functools import partial

import numpy as np
import pytest

import largestep as ls
from largestep.dynamics.sweep import sweep
from largestep.jobs import dask as own
from largestep.jobs.base import run
from largestep.jobs.dask import DaskExecutor, cluster, translated
from largestep.problems import sparse_regression

distributed = pytest.importorskip("distributed")

PLANE = {
    "x": {"step_size": [0.05, 0.2, 3.0]},
    "y": {"noise": [0.0, 0.1]},
    "steps": 2_000,
    "seeds": range(30),
}
MAKES = partial(sparse_regression, n=12, d=8, nonzeros=2, test_points=20)


@pytest.fixture(scope="module")
def workers():
    import dask

    # Each death costs seconds: two make a block a bad one here, not four.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        cluster(workers=2) as executor,
    ):
        yield executor


@pytest.mark.cluster
def test_workers_give_what_threads_give_bit_for_bit(workers, diagonal, sparse_problem):
    here = sweep(diagonal, MAKES, **PLANE, threads=2)
    assert here.identical(sweep(diagonal, MAKES, **PLANE, executor=workers))
    simulation = {"schedules": 0.1, "steps": 300, "seeds": range(5)}
    runs = ls.simulate(diagonal, sparse_problem, **simulation)
    raw = workers._client.get_executor()  # Dask's own, as people have it
    for executor in (workers, raw):
        again = ls.simulate(diagonal, sparse_problem, **simulation, executor=executor)
        assert again.identical(runs)


def kill_once(folder, items):
    """End this process at one of the items, the first time that it comes."""
    for item in items:
        if item == 7:
            try:
                (folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)
    return list(items)


@pytest.mark.cluster
def test_what_a_dead_worker_did_is_done_again(workers, tmp_path):
    done = [
        item for d in run(kill_once, tmp_path, range(40), workers, seconds=0) for item in d.result
    ]
    assert sorted(done) == list(range(40))
    assert (tmp_path / "killed").exists()


def die(shared, items):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.cluster
def test_a_block_that_kills_every_worker_is_given_up(workers):
    """So does one that needs more memory than they have: Dask ends them at their limit."""
    with (
        pytest.raises(ChildProcessError, match=r"has killed 2 workers, perhaps for want of memory"),
        translated(distributed),
    ):
        list(run(die, 0, [1], workers))


def test_an_address_that_nobody_answers_is_named(monkeypatch):
    monkeypatch.setattr(own, "_SECONDS_TO_ANSWER", 0.3)
    with (
        pytest.raises(ConnectionError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 "),
        cluster("tcp://127.0.0.1:9"),
    ):
        pass


def test_an_address_that_is_none_is_refused():
    with (
        pytest.raises(ValueError, match=r"scheduler must be an address such as .*nowhere"),
        cluster("nowhere://x"),
    ):
        pass


@pytest.mark.parametrize("places", [{}, {"scheduler": "tcp://a:1", "workers": 1}])
def test_a_cluster_is_either_there_or_started(places):
    with (
        pytest.raises(ValueError, match="either a scheduler's address or a number of workers"),
        cluster(**places),
    ):
        pass


class Client:
    """What a client says of its workers."""

    def __init__(self, python="3.99.0", largestep=ls.__version__, **workers):
        self.python, self.largestep, self.workers = python, largestep, workers

    def run(self, function, *arguments, on_error="raise"):
        return {"tcp://w:1": self.largestep if arguments else self.python}

    def scheduler_info(self, n_workers):
        return {"workers": self.workers}

    def get_executor(self, **given):
        executor = Executor()
        executor.given = given
        return executor


def test_workers_of_other_versions_are_refused_with_both_named():
    here = ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(ValueError, match=f"worker tcp://w:1 has Python 3.99.0 .* has {here}"):
        own._check_workers(Client())
    with pytest.raises(ValueError, match=f"has largestep 0.0.1 .* has {ls.__version__}"):
        own._check_workers(Client(here, "0.0.1"))
    missing = own.PackageNotFoundError("largestep")
    with pytest.raises(ValueError, match="has largestep none"):
        own._check_workers(Client(here, missing))
    own._check_workers(Client(here))


def test_one_training_a_gpu_and_else_a_worker_of_one_thread():
    gpus = Client(a={"resources": {"GPU": 1}, "nthreads": 4}, b={"resources": {}, "nthreads": 4})
    assert DaskExecutor(gpus).training()._given.given["resources"] == {"GPU": 1}
    one = DaskExecutor(Client(a={"resources": {}, "nthreads": 1}))
    assert one.training() is one
    several = DaskExecutor(Client(a={"resources": {}, "nthreads": 2}))
    with pytest.raises(ValueError, match="must have one thread each, got more at a"):
        several.training()


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ModuleNotFoundError, match=r"pip install 'largestep\[cluster\]'"),
        cluster(workers=1),
    ):
        pass


@pytest.mark.cluster
def test_what_is_shared_travels_once(workers):
    shared = np.zeros(200_000)
    sizes = []
    submit = workers._given.submit

    def counting(work, sent, items):
        sizes.append(type(sent).__name__)
        return submit(work, sent, items)

    workers._given.submit = counting
    try:
        assert sum(len(d.items) for d in run(total, shared, range(20), workers, seconds=0)) == 20
    finally:
        workers._given.submit = submit
    assert set(sizes) == {"Future"}


def total(shared, items):
    return [float(shared.sum()) for _ in items]
