"""Values of other content have other fingerprints; names and docstrings do not count."""

import threading
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit

from largestep import dynamics, measures, networks, problems, schedules
from largestep.provenance import fingerprint

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(PLAIN, PLAIN)
def test_plain_values_are_told_apart(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (repr(a) == repr(b))


@given(arrays(np.float64, st.integers(1, 5)), st.integers(0, 4))
def test_every_entry_of_an_array_counts(values, index):
    changed = values.copy()
    with np.errstate(over="ignore"):
        changed[index % len(values)] = np.nextafter(changed[index % len(values)], np.inf)
    assert fingerprint(values.copy()) == fingerprint(values)
    if not np.array_equal(values.view(np.int64), changed.view(np.int64)):
        assert fingerprint(changed) != fingerprint(values)


def make(scale):
    """Make a function with a closure."""

    def inner(x):
        return scale * x

    return inner


FACTOR = 2.0


def uses_a_global(x):
    return FACTOR * x


def documented(x):
    """Say one thing."""
    return x + 1


def test_functions_count_by_code_closure_defaults_and_globals(monkeypatch):
    assert fingerprint(make(1.0)) == fingerprint(make(1.0))
    assert fingerprint(make(1.0)) != fingerprint(make(2.0))
    assert fingerprint(lambda x, a=1: x) != fingerprint(lambda x, a=2: x)
    before = fingerprint(uses_a_global)
    monkeypatch.setitem(uses_a_global.__globals__, "FACTOR", 3.0)
    assert fingerprint(uses_a_global) != before


def test_docstrings_do_not_count():
    before = fingerprint(documented)
    namespace = dict(documented.__globals__)
    exec('def documented(x):\n    """Say another."""\n    return x + 1\n', namespace)
    assert fingerprint(namespace["documented"]) == before


@dataclass(frozen=True)
class Box:
    held: object


X = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (problems.Problem(X, X[:, 0]), problems.Problem(X, X[:, 0] + 1e-9)),
        (problems.Problem(X, X[:, 0]), problems.Problem(X * 2, X[:, 0])),
        (networks.DiagonalLinear(3), networks.DiagonalLinear(3, u0=0.2)),
        (dynamics.SGD(), dynamics.SGD(cap=4.0)),
        (dynamics.SGD(), dynamics.GD()),
        (schedules.constant(0.1), schedules.constant(0.2)),
        (measures.jacobian_rank(1e-4), measures.jacobian_rank(1e-5)),
        (measures.jacobian_rank(1e-4), measures.jacobian_rank(1e-4, every=2)),
        (partial(make, 1), partial(make, 2)),
        (Box(1), Box(2)),
        (Box(X), Box(X + 1)),
        (np.float64(1), np.float32(1)),
        ([1, [2]], [[1], 2]),
        ("a", b"a"),
        (np.sin, np.cos),
        ({1, 2}, {1, 3}),
    ],
)
def test_what_gives_other_numbers_has_another_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


def test_networks_of_the_same_repr_are_told_apart(line):
    def network(slope):
        @networks.compiled
        def steep(theta, x, layout, workspace, gradient):
            gradient[0] = slope * x[0]
            return slope * theta[0] * x[0]

        class Steep(networks.Network):
            inputs, parameters, prediction_and_gradient = 1, 1, steep

            def initialize(self, rng):
                return np.zeros(1)

            def __repr__(self):
                return "Steep"

        return Steep()

    assert fingerprint(network(1.0)) == fingerprint(network(1.0))
    assert fingerprint(network(1.0)) != fingerprint(network(2.0))


def test_a_function_that_has_been_called_is_the_same():
    def helper():
        @njit
        def double(x):
            return 2 * x

        return double

    called = helper()
    called(1.0)
    assert fingerprint(called) == fingerprint(helper())


def test_recursion_ends():
    held: list[object] = [1]
    held.append(held)
    assert fingerprint(held) == fingerprint(held)


def test_what_cannot_be_read_is_refused():
    with pytest.raises(TypeError, match="must have content that can be read"):
        fingerprint(x for x in [1])
    with pytest.raises(TypeError, match="must have content that can be read"):
        fingerprint(threading.Lock())
