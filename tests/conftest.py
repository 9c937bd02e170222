import os
from pathlib import Path

# Each process of a parallel run keeps compiled code of its own: before Numba is imported.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["NUMBA_CACHE_DIR"] = str(
        Path(__file__).parents[1] / ".pytest_cache" / f"numba-{worker}"
    )

import numpy as np
import pytest

from largestep import networks, problems


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


@pytest.fixture
def one_thread():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def sparse_problem():
    return problems.sparse_regression(n=12, d=8, nonzeros=2, seed=0, test_points=20)


@pytest.fixture(scope="session")
def diagonal():
    return networks.DiagonalLinear(d=8, u0=0.3, v0=0.1)
