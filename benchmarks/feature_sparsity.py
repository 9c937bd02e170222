"""The feature sparsity coefficient beside the greedy loop that one would write first."""

import os
import tracemalloc
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import largestep as ls
from benchmarks._timing import row, seconds


def greedy_loop(features: np.ndarray, threshold: float) -> float:
    """Drop units one by one from NumPy's correlation matrix."""
    n, m = features.shape
    alive = [j for j in range(m) if (features[:, j] > 0).any()]
    correlation = np.abs(np.corrcoef(features[:, alive].T))
    standing = list(range(len(alive)))
    for i in range(len(alive)):
        if any(j != i and correlation[i, j] > threshold for j in standing):
            standing.remove(i)
    kept = [alive[i] for i in standing]
    return float((features[:, kept] > 0).sum() / (n * m))


def layer(n: int, m: int) -> np.ndarray:
    """Return ReLU features in which a third of the units are duplicates."""
    rng = np.random.default_rng(0)
    features = np.maximum(rng.standard_normal((n, m), dtype=np.float32), 0)
    features[:, : m // 3] = 2 * features[:, -(m // 3) :]
    return features


def measure() -> list[dict[str, Any]]:
    """Compare on (2000 × 500), and time ours on (10 000 × 1000) and its memory on a tall layer."""
    small, large = layer(2000, 500), layer(10_000, 1000)
    assert greedy_loop(small, 0.95) == ls.metrics.feature_sparsity(small).distinct
    threads = min(2, os.cpu_count() or 1)
    with threadpool_limits(threads, user_api="blas"):
        rows = [
            row(
                "feature sparsity, 2000 × 500, against a greedy loop",
                seconds(lambda: greedy_loop(small, 0.95)),
                seconds(lambda: ls.metrics.feature_sparsity(small)),
                "",
            ),
            row(
                f"feature sparsity, 10 000 × 1000, {threads} BLAS threads",
                None,
                seconds(lambda: ls.metrics.feature_sparsity(large)),
                "< 0.3 s",
            ),
        ]
        tall = layer(50_000, 3000)
        tracemalloc.start()
        ls.metrics.feature_sparsity(tall)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows.append(
            row(
                f"feature sparsity, 50 000 × 3000: {peak / 2**30:.2f} GiB beyond the input",
                None,
                seconds(lambda: ls.metrics.feature_sparsity(tall), repeats=1),
                "< 4 GiB",
            )
        )
    return rows
