"""Work on threads of this process, each with BLAS on one."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from threading import Event, Lock, local
from typing import Any

from threadpoolctl import ThreadpoolController

from largestep import _checks

__all__ = ["executor_or_threads", "single_blas_thread", "stopped", "thread_pool"]

_here = local()
_lock = Lock()
_inside = 0
_limits: Any = None


@contextmanager
def thread_pool(number: int) -> Iterator[ThreadPoolExecutor]:
    """Yield an executor of so many threads; its work is told to stop if the block fails.

    Work that takes long asks `stopped` now and then.
    """
    stop = Event()
    with (
        single_blas_thread(),
        ThreadPoolExecutor(number, initializer=_enter, initargs=(stop,)) as pool,
    ):
        try:
            yield pool
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def executor_or_threads(executor: Executor | None, threads: int | None) -> Iterator[Executor]:
    """Yield the executor that was given, otherwise one of threads: one a core if need be.

    Raises
    ------
    TypeError, ValueError
        If threads is not a positive integer, or both are given.
    """
    if threads is not None:
        threads = _checks.integer("threads", threads, at_least=1)
        if executor is not None:
            raise ValueError("threads and executor must not both be given: it has its own workers")
    if executor is not None:
        yield executor
        return
    with thread_pool(threads or os.cpu_count() or 1) as pool:
        yield pool


def stopped() -> bool:
    """Return whether the work that runs on this thread should end: nobody waits for it."""
    stop: Event | None = getattr(_here, "stop", None)
    return stop is not None and stop.is_set()


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread, in the whole process, while any thread is in such a block.

    More would compete with work beside it, and change the order of sums.
    """
    global _inside, _limits
    with _lock:
        if _inside == 0:
            _limits = _libraries(len(sys.modules)).limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _limits is not None:
                _limits.restore_original_limits()
                _limits = None


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """Return what limits the libraries that are loaded; they are found anew after an import.

    Finding them takes longer than a short simulation.
    """
    return ThreadpoolController()


def _enter(stop: Event) -> None:
    _here.stop = stop
