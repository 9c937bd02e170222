"""Work in processes of this machine, which end with the one that started them."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

__all__ = ["executor_or_processes", "process_pool", "without_interrupt"]


@contextmanager
def process_pool(number: int) -> Iterator[ProcessPoolExecutor]:
    """Yield an executor of processes that end at once with the block, or with this process.

    Raises
    ------
    ChildProcessError
        If a process was ended from outside.
    """
    # Forked processes would inherit locks, PyTorch's and Numba's among them.
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    pool = _Processes(number, context, initializer=_end_with, initargs=(here,))
    with here, there:
        try:
            yield pool
        except BrokenProcessPool:
            there.close()
            raise ChildProcessError(
                "a process that worked was ended from outside, perhaps for want of memory: take "
                "fewer --threads; the same command takes up what is finished"
            ) from None
        except BaseException:
            there.close()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def executor_or_processes(
    executor: Executor | None, number: int
) -> AbstractContextManager[Executor]:
    """Return a context of the executor, if there is one, or of so many processes here."""
    return process_pool(number) if executor is None else nullcontext(executor)


class _Processes(ProcessPoolExecutor):
    def submit(self, work: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        with without_interrupt():
            return super().submit(work, *args, **keywords)


@contextmanager
def without_interrupt() -> Iterator[None]:
    """Let processes that are started in the block never see Ctrl-C, which a terminal sends to all.

    Nor do those that threads start which are themselves started in it.
    """
    # Whoever starts multiprocessing's tracker is left with signals unblocked.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(parent: Connection) -> None:
    def wait() -> None:
        with suppress(EOFError):
            parent.recv_bytes()  # nothing is ever sent
        os._exit(1)

    Thread(target=wait, daemon=True).start()
