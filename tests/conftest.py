import numpy as np
import pytest

from largestep import networks, problems


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def sparse_problem():
    return problems.sparse_regression(n=12, d=8, nonzeros=2, seed=0, test_points=20)


@pytest.fixture(scope="session")
def diagonal():
    return networks.DiagonalLinear(d=8, u0=0.3, v0=0.1)
