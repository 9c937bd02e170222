"""Timing shared by the benchmarks."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(run: Callable[[], Any], repeats: int = 3) -> float:
    """Return the median wall-clock seconds of a call, after one that isn't counted."""
    run()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def row(name: str, baseline: float | None, ours: float, goal: str) -> dict[str, Any]:
    """Return a line of the table."""
    ratio = None if baseline is None else baseline / ours
    return {"name": name, "baseline_s": baseline, "ours_s": ours, "ratio": ratio, "goal": goal}
