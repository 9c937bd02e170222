"""One seam where work runs: jobs to an executor, results as they come."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Executor, Future, as_completed
from typing import Any, TypeVar

from largestep._progress import track

__all__ = ["run"]

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


def run(
    work: Callable[..., Result],
    jobs: Mapping[Key, tuple[Any, ...]],
    executor: Executor,
    *,
    progress: str | None = None,
) -> Iterator[tuple[Key, Result]]:
    """Yield each job's key and result, as they complete.

    Whatever ends it early, an exception of a job, Ctrl-C or a caller that takes no more, what has
    not begun is cancelled. What runs is stopped by the executor's own block: `thread_pool`,
    `process_pool`.

    Parameters
    ----------
    work : for processes a module's own function.
    jobs : its arguments by key; for processes picklable.
    executor : any of `concurrent.futures`, Dask's `client.get_executor()` among them.
    progress : a description shows progress on standard error; None is silent.
    """
    with track(progress, len(jobs)) as advance:
        waiting: dict[Future[Result], Key] = {}
        try:
            for key, job in jobs.items():
                waiting[executor.submit(work, *job)] = key
            for future in as_completed(list(waiting)):
                yield waiting.pop(future), future.result()
                advance()
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
