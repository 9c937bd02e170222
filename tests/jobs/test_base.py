"""Work in blocks: each item once, in whatever executor, with the same code on both sides."""

import pickle
import sys
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import largestep as ls
from largestep.jobs import base
from largestep.jobs.base import run
from largestep.jobs.here import Here


class Elsewhere(Executor):
    """What another process would do, in this one: all that goes there is pickled."""

    _max_workers = 3

    def __init__(self):
        self.sizes = []

    def submit(self, work, /, *args):
        self.sizes.append(len(args[1]))
        return Here().submit(*pickle.loads(pickle.dumps((work, *args))))


def squares(offset, items):
    return [offset + item**2 for item in items]


@pytest.fixture(autouse=True)
def nothing_opened(monkeypatch):
    monkeypatch.setattr(base, "_opened", {})


@given(st.integers(0, 300), st.sampled_from([0, 1e-6, 1e-3, 10.0]))
def test_every_item_is_done_once_whatever_the_blocks(number, seconds):
    executor = Elsewhere()
    items = np.arange(number)
    done = list(run(squares, 1, items, executor, seconds=seconds))
    results = {item: result for d in done for item, result in zip(d.items, d.result, strict=True)}
    assert results == {item: 1 + item**2 for item in range(number)}
    assert sum(executor.sizes) == number
    if seconds == 0:
        assert set(executor.sizes) <= {1}


def test_blocks_grow_to_what_was_measured_and_shrink_towards_the_end():
    pace = base._Pace(2.0, 10**6)
    assert not pace.known
    assert pace.size(10_000, workers=2) == 1
    sizes = []
    for _ in range(10):
        sizes.append(pace.size(10_000, workers=2))
        pace.learn(sizes[-1], 0.015 * sizes[-1], workers=2)
    assert sizes[-1] == 133
    assert all(after <= 4 * before for before, after in pairwise(sizes))
    assert pace.size(40, workers=2) == 16
    # No shorter than is worth the way; `run` takes what is left.
    assert pace.size(3, workers=2) == 16


def test_blocks_are_longer_where_many_workers_would_bring_too_many():
    pace = base._Pace(2.0, 10**6)
    assert [pace.target(workers) for workers in (1, 100, 400, 10_000)] == [2, 2, 8, 10]
    assert base._Pace(0, 10**6).target(10_000) == 0


def test_a_block_that_took_no_time_does_not_make_the_next_endless():
    pace = base._Pace(2.0, 10**6)
    pace.learn(1, 0.0, workers=2)
    assert pace.size(10**6, workers=2) == 4


def test_blocks_have_no_more_items_than_they_may():
    pace = base._Pace(2.0, 3)
    for _ in range(5):
        pace.learn(1, 0.0, workers=2)
    assert pace.size(10**6, workers=2) == 3


def test_what_is_handed_out_depends_on_the_workers_not_on_the_items():
    most, waiting, lock = 0, 0, threading.Lock()

    class Counting(ThreadPoolExecutor):
        def submit(self, *args):
            nonlocal most, waiting
            with lock:
                waiting += 1
                most = max(most, waiting)
            return super().submit(*args)

    with Counting(2) as executor:
        for _ in run(squares, 0, range(500), executor, seconds=0):
            with lock:
                waiting -= 1
    assert most <= 5


def test_what_has_not_begun_is_cancelled():
    class Never(Executor):
        def __init__(self):
            self.futures = [Here().submit(lambda: ([0], 0.0, ""))]

        def submit(self, *args):
            self.futures.append(self.futures[0] if len(self.futures) == 1 else Future())
            return self.futures[-1]

    executor = Never()
    for _ in run(squares, 0, range(100), executor):
        break
    waiting = executor.futures[2:]
    assert waiting
    assert all(future.cancelled() for future in waiting)


def test_an_error_of_the_work_is_raised_as_it_is():
    with pytest.raises(TypeError, match="unsupported operand"):
        list(run(squares, None, [1], Elsewhere()))


def test_what_cannot_be_pickled_is_refused_before_anything_runs():
    executor = Elsewhere()
    with pytest.raises(TypeError, match=r"must be picklable: .*lock"):
        list(run(squares, threading.Lock(), [1], executor))
    with pytest.raises(TypeError, match=r"must be picklable: .*<lambda>"):
        list(run(lambda shared, items: items, 0, [1], executor))
    assert executor.sizes == []
    assert [d.result for d in run(lambda shared, items: 2, 0, [1], Here())] == [2]


@pytest.mark.parametrize(("name", "there"), [("largestep", "0.0.1"), ("Python", "3.2")])
def test_a_worker_of_another_version_is_refused_with_both_named(monkeypatch, name, there):
    executor = Elsewhere()
    before = base._made_by(squares)
    submitted = executor.submit

    def submit(work, sent, items):
        monkeypatch.setattr(base, "_made_by", lambda work: {**before, name: there})
        return submitted(work, sent, items)

    executor.submit = submit
    with pytest.raises(ValueError, match=f"has {name} {there} where this process has"):
        list(run(squares, 0, [1], executor))


def test_a_worker_with_other_code_for_a_network_is_refused(
    tmp_path, monkeypatch, sparse_problem, diagonal
):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = """
from largestep.networks import DiagonalLinear
class Net(DiagonalLinear):
    def initialize(self, rng):
        return {factor} * super().initialize(rng)
"""
    file = tmp_path / "net_of_two_codes.py"
    file.write_text(text.format(factor=1.0))
    network = import_module("net_of_two_codes").Net(d=8, u0=0.3, v0=0.1)
    settings = {"schedules": 0.1, "steps": 20}
    same = ls.simulate(network, sparse_problem, **settings, executor=Elsewhere())
    assert same.train_loss.equals(ls.simulate(diagonal, sparse_problem, **settings).train_loss)

    class Other(Elsewhere):
        def submit(self, work, sent, items):
            base._opened.clear()
            file.write_text(text.format(factor=2.0))
            sys.modules.pop("net_of_two_codes", None)
            return super().submit(work, sent, items)

    with pytest.raises(ValueError, match="other code for the network"):
        ls.simulate(network, sparse_problem, **settings, executor=Other())


def test_a_network_that_workers_cannot_import_is_named(monkeypatch, sparse_problem, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "net_of_a_script.py").write_text(
        "from largestep.networks import DiagonalLinear\nclass Net(DiagonalLinear): pass\n"
    )
    network = import_module("net_of_a_script").Net(d=8)

    class Without(Elsewhere):
        def submit(self, work, sent, items):
            monkeypatch.setitem(sys.modules, "net_of_a_script", None)
            return super().submit(work, sent, items)

    with pytest.raises(TypeError, match=r"cannot import what it is to run: .*net_of_a_script"):
        ls.simulate(network, sparse_problem, schedules=0.1, steps=5, executor=Without())


def test_a_worker_without_largestep_is_told(monkeypatch):
    class Without(Elsewhere):
        def submit(self, *args):
            return Here().submit(import_module, "largestep.nowhere")

    with pytest.raises(ValueError, match="a worker has no largestep"):
        list(run(squares, 0, [1], Without()))


def test_what_is_shared_is_opened_once_by_a_worker(monkeypatch):
    opened, unpacked = [], base._unpacked
    monkeypatch.setattr(base, "_unpacked", lambda packed: opened.append(1) or unpacked(packed))
    executor = Elsewhere()
    list(run(squares, 0, range(50), executor, seconds=0))
    assert len(executor.sizes) == 50
    assert len(opened) == 2  # here, to see that it can be, and there


def test_progress_counts_items(capsys):
    list(run(squares, 0, range(20), Here(), seconds=0, progress="squares"))
    assert "squares: 20 of 20" in capsys.readouterr().err


def test_ctrl_c_ends_what_runs_on_threads():
    def interrupted():
        with ls.jobs.thread_pool(2) as pool:
            for _ in run(until_stopped, 0, range(50), pool):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()  # what runs would go on for ever


def until_stopped(shared, items):
    while len(items) and items[0] > 0 and not ls.jobs.stopped():
        time.sleep(0.001)
    return list(items)
