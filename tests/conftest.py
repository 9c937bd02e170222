import multiprocessing
import os
import signal
from multiprocessing import forkserver
from pathlib import Path

# Several threads on tiny networks mostly wait for each other, and share the cores with other tests;
# before PyTorch is imported, here and in the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

# Each process of a parallel run keeps compiled code of its own: before Numba is imported.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["NUMBA_CACHE_DIR"] = str(
        Path(__file__).parents[1] / ".pytest_cache" / f"numba-{worker}"
    )

import numpy as np
import pytest

from largestep import networks, problems

# A shell that runs the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@networks.compiled
def _line(theta, x, layout, workspace, gradient):
    gradient[0] = x[0]
    return theta[0] * x[0]


class Line(networks.Network):
    inputs, parameters, prediction_and_gradient = 1, 1, _line

    def initialize(self, rng):
        return np.zeros(1)


@pytest.fixture
def line():
    """Return the network h(x) = θx, from θ = 0."""
    return Line()


@pytest.fixture(scope="session")
def sparse_problem():
    return problems.sparse_regression(n=12, d=8, nonzeros=2, seed=0, test_points=20)


@pytest.fixture(scope="session")
def diagonal():
    return networks.DiagonalLinear(d=8, u0=0.3, v0=0.1)


@pytest.fixture(scope="session")
def loaded():
    """Return a context of processes that have PyTorch loaded when they start.

    One process loads it and is forked each time; loading it anew takes each seconds.
    """
    pytest.importorskip("torch")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "pytest",
            "sklearn.datasets",
            "sklearn.model_selection",
            "torch._dynamo",
            "torch.distributed",
            "largestep.cli.app",
            "largestep.deep.training.loop",
            "largestep.figures.training",
        ]
    )
    forkserver.ensure_running()  # now: the library starts processes while Ctrl-C is blocked
    return context


@pytest.fixture(scope="session")
def few_images():
    """Return a data set that a tiny network learns in a moment."""
    torch = pytest.importorskip("torch")
    from largestep.deep.data import Dataset

    rng = np.random.default_rng(0)

    def images(n):
        labels = torch.from_numpy(rng.integers(0, 3, n))
        noise = torch.from_numpy(rng.integers(0, 128, (n, 1, 6, 6)).astype(np.uint8))
        return noise + (60 * labels[:, None, None, None]).to(torch.uint8), labels

    return Dataset.of("made up", *images(42), *images(20), 3)
