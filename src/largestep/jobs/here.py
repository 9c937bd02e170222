"""Work on the thread that asks for it, at once."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

__all__ = ["Here"]


class Here(Executor):
    """An executor without workers: for work that is a part of other work."""

    workers = 1

    def submit(self, work: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        """Do the work and return its result."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **keywords))
        except Exception as error:
            future.set_exception(error)
        return future
