"""Timing shared by the benchmarks."""

import time
from collections.abc import Callable
from typing import Any


def seconds(run: Callable[[], Any], repeats: int = 3) -> float:
    """Return the least wall-clock seconds of a call, after one that isn't counted.

    The least, as other work on the machine only adds.
    """
    run()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def row(
    name: str, baseline: float | None, ours: float, goal: str, *, least: float | None = None
) -> dict[str, Any]:
    """Return a line of the table; `least` is what the machine needs at the least."""
    return {
        "name": name,
        "baseline_s": baseline,
        "ours_s": ours,
        "ratio": None if baseline is None else baseline / ours,
        "goal": goal,
        "least_s": least,
    }
