"""Progress of long work: a bar on a terminal, plain lines otherwise."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["track"]

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def track(description: str | None, total: int) -> Iterator[Callable[..., None]]:
    """Yield a function to call with how many more of `total` are done, one by default."""
    if description is None:
        yield lambda number=1: None
    elif sys.stderr.isatty():
        with _bar(description, total) as advance:
            yield advance
    else:
        yield _lines(description, total)


@contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda number=1: bar.advance(task, number)


def _lines(description: str, total: int) -> Callable[..., None]:
    start = last = time.monotonic()
    done = 0

    def advance(number: int = 1) -> None:
        nonlocal done, last
        done += number
        now = time.monotonic()
        if done == total or now - last > _SECONDS_BETWEEN_LINES:
            last = now
            elapsed = now - start
            left = elapsed / done * (total - done)
            print(
                f"{description}: {done} of {total}, {elapsed:.0f} s, about {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    return advance
