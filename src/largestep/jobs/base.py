"""One seam where work runs: items to an executor in blocks, results as they come."""

import os
import pickle
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import numpy as np

from largestep import provenance
from largestep._progress import track
from largestep._version import __version__
from largestep.jobs.here import Here

__all__ = ["Done", "run"]

Items = TypeVar("Items", Sequence[Any], np.ndarray)

SECONDS, LONGEST = 2.0, 10.0
"""What a block of items should take: long against the way there and back, short against a life."""

BLOCKS_A_SECOND = 50.0
"""What the process that hands out blocks keeps up with, and a scheduler with it, by far."""


@dataclass(frozen=True)
class Done(Generic[Items]):
    """A block of work that is done.

    Attributes
    ----------
    items : what it was.
    result : what the work has returned for them.
    processor : where, as `provenance.processor` says it.
    """

    items: Items
    result: Any
    processor: str


def run(
    work: Callable[[Any, Items], Any],
    shared: Any,
    items: Items,
    executor: Executor,
    *,
    seconds: float = SECONDS,
    most: int | None = None,
    progress: str | None = None,
) -> Iterator[Done[Items]]:
    """Do work on all items, in blocks, and yield the blocks as they complete.

    The first blocks are of one item; from what they take follows the size of the next. Blocks are
    handed out as others come back, so that what is held at a time depends on the number of workers,
    not on that of items. Whatever ends it early, an exception of the work, Ctrl-C or a caller that
    takes no more, what has not begun is cancelled; what runs is stopped by the executor's own
    block: `thread_pool`, `process_pool`, `cluster`.

    Parameters
    ----------
    work : makes the results of a block: work(shared, items). For processes a module's own function.
    shared : what all items need. It is sent once to each worker where the executor can do so,
        otherwise with every block.
    items : for processes picklable, and small.
    executor : any of `concurrent.futures`, Dask's `client.get_executor()` among them.
    seconds : what a block should take; 0 for blocks of one item. More where there are so many
        workers that more than fifty blocks a second would come back, up to ten seconds.
    most : items that a block may have, where their results would take too much memory.
    progress : a description shows progress on standard error; None is silent.

    Raises
    ------
    TypeError
        If what is sent to other processes can't be pickled there or read here.
    ValueError
        If a worker has other versions or other code than this process.
    """
    executor = _known(executor)
    sent = _sent(work, shared, executor)
    returned: SimpleQueue[Future[Any]] = SimpleQueue()
    waiting: dict[Future[Any], Items] = {}
    pace = _Pace(seconds, len(items) if most is None else most)
    at = 0
    with track(progress, len(items)) as advance:
        try:
            while at < len(items) or waiting:
                workers = _workers(executor)
                # A block beside the one that runs keeps a worker from waiting.
                while at < len(items) and len(waiting) < workers * (2 if pace.known else 1):
                    block = items[at : at + pace.size(len(items) - at, workers)]
                    at += len(block)
                    future = executor.submit(_do, sent, block)
                    waiting[future] = block
                    future.add_done_callback(returned.put)
                future = returned.get()
                block = waiting.pop(future)
                result, taken, processor = _result(future)
                pace.learn(len(block), taken, workers)
                yield Done(block, result, processor)
                advance(len(block))
        except BaseException:
            for future in waiting:
                future.cancel()
            raise


class _Pace:
    """Chooses how many items make a block worth so many seconds."""

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds = seconds
        self.most = most
        self.each: float | None = None
        self.wanted = 1

    @property
    def known(self) -> bool:
        """Whether anything has been measured."""
        return self.each is not None

    def size(self, left: int, workers: int) -> int:
        """Return the size of the next block: smaller towards the end, that all end together."""
        return max(1, self.wanted // 8, min(self.wanted, left // (2 * workers)))

    def learn(self, number: int, seconds: float, workers: int) -> None:
        """Take into account how long a block has taken."""
        each = seconds / number
        self.each = each if self.each is None else (self.each + each) / 2
        # What has diverged takes no time and says little of what comes next.
        most = min(max(self.wanted, 4 * number), self.most)
        wanted = self.target(workers) / max(self.each, 1e-9)
        self.wanted = max(1, int(min(most, wanted)))

    def target(self, workers: int) -> float:
        """Return the seconds that a block should take where there are so many workers."""
        return self.seconds and min(max(self.seconds, workers / BLOCKS_A_SECOND), LONGEST)


def _known(executor: Executor) -> Executor:
    """Return an executor that knows its workers, where one stands for Dask's."""
    if type(executor).__module__.partition(".")[0] == "distributed":
        from largestep.jobs.dask import DaskExecutor

        return DaskExecutor(executor)
    return executor


def _workers(executor: Executor) -> int:
    known: int | None = getattr(executor, "workers", getattr(executor, "_max_workers", None))
    return max(1, known or os.cpu_count() or 1)


@dataclass(frozen=True)
class _Direct:
    """Work for this process."""

    work: Callable[[Any, Any], Any]
    shared: Any

    def open(self) -> tuple[Callable[[Any, Any], Any], Any]:
        return self.work, self.shared


@dataclass(frozen=True)
class _Packed:
    """Work for another process, and what its code must be there for the same numbers."""

    made_by: Mapping[str, str]
    content: str
    packed: bytes
    key: str

    def open(self) -> tuple[Callable[[Any, Any], Any], Any]:
        opened = _opened.get(self.key)
        if opened is None:
            opened = _unpacked(self.packed)
            _check_versions(self.made_by, _made_by(opened[0]))
            if self.content not in ("", _content(opened[1])):
                raise ValueError(
                    f"a worker ({platform.node()}) has other code for the network, the problem or "
                    "the measures than this process, or other values of what that code names: "
                    "install the same on both, and change no globals"
                )
            _opened.clear()  # what came before is done with
            _opened[self.key] = opened
        return opened


_opened: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {}


def _sent(work: Callable[[Any, Any], Any], shared: Any, executor: Executor) -> Any:
    """Return what goes with every block."""
    if isinstance(executor, Here | ThreadPoolExecutor):
        return _Direct(work, shared)
    try:
        packed = pickle.dumps((work, shared))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"what workers in other processes share must be picklable: {error}"
        ) from error
    # A copy is read, as a worker reads one: what is shared there is no more the same object.
    copied = _unpacked(packed)[1]
    parcel = _Packed(_made_by(work), _content(copied), packed, sha256(packed).hexdigest())
    share: Callable[[Any], Any] = getattr(executor, "share", lambda value: value)
    return share(parcel)


def _do(sent: _Direct | _Packed, items: Any) -> tuple[Any, float, str]:
    """Return a block's result, the seconds that it took and the processor: runs at the worker's."""
    work, shared = sent.open()
    start = time.perf_counter()
    result = work(shared, items)
    return result, time.perf_counter() - start, provenance.processor()


def _result(future: "Future[Any]") -> Any:
    try:
        return future.result()
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "largestep":
            raise ValueError(
                f"a worker has no largestep, or one older than {__version__} here: install the "
                f"same on all workers ({error})"
            ) from error
        raise


def _unpacked(packed: bytes) -> Any:
    try:
        return pickle.loads(packed)
    except (ImportError, AttributeError) as error:
        raise TypeError(
            f"a worker ({platform.node()}) cannot import what it is to run: {error}. Put the class "
            "into a module that is installed on the workers, not into a script or a notebook; "
            "Dask's client.upload_file('module.py') sends one there"
        ) from error


@cache
def _made_by(work: Callable[..., Any]) -> Mapping[str, str]:
    """Return the versions that decide the numbers of some work, largestep's with its code."""
    own = work.__module__.startswith("largestep.")
    versions = provenance.closure((work.__module__, work.__qualname__)).versions if own else {}
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "largestep": f"{__version__} (code {provenance.fingerprint(work)})",
        **versions,
    }


def _check_versions(there: Mapping[str, str], here: Mapping[str, str]) -> None:
    for name, version in there.items():
        if here.get(name) != version:
            raise ValueError(
                f"a worker ({platform.node()}) has {name} {here.get(name)} where this process has "
                f"{version}: install the same on all workers"
            )


def _content(shared: Any) -> str:
    """Return what stands for the code and the values of what is shared; "" if it can't be read."""
    try:
        return provenance.fingerprint(shared)
    except TypeError:
        return ""
