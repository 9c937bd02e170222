import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from largestep import networks
from largestep.compaction import compact
from largestep.networks import DiagonalLinear, ReLU, ScalarQuadratic


def relu(widths=(3, 12, 9), biases=True, seed=0):
    network = ReLU(widths, biases=biases)
    rng = np.random.default_rng(seed)
    theta = network.initialize(rng)
    return network, theta, network.unpack(theta), rng.standard_normal((40, widths[0]))


def same(network, theta, x, rtol=1e-13):
    smaller = compact(network, theta, x)
    wanted = network.predict(theta, x)
    np.testing.assert_allclose(smaller.predict(x), wanted, rtol=0, atol=rtol * np.abs(wanted).max())
    assert smaller.network.parameters == len(smaller.theta) <= network.parameters
    return smaller


def test_what_is_planted_in_a_relu_network_goes():
    network, theta, layers, x = relu(seed=3)
    (first, bias), (second, bias2), _ = layers
    plain = same(network, theta, x).network.widths
    first[4], bias[4] = 2 * first[1], 2 * bias[1]
    bias[7] = -100
    first[8], bias[8] = 0, 0.7
    second[3], bias2[3] = 0.3 * second[0], 0.3 * bias2[0]
    found = same(network, theta, x).network.widths
    assert found == (3, plain[1] - 3, plain[2] - 1)


@given(st.integers(0, 200), st.booleans(), st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_relu_networks_compact_to_rounding(seed, biases, depth):
    rng = np.random.default_rng(seed)
    network, theta, layers, x = relu((4, *rng.integers(1, 10, depth)), biases, seed)
    for weights, bias in layers[:-1]:
        for unit in range(1, len(weights)):
            change = rng.choice(["own", "dead", "copy", "zero"])
            parts = [weights] if bias is None else [weights, bias]
            for part in parts:
                if change == "copy":
                    part[unit] = 1.7 * part[0]
                elif change == "zero":
                    part[unit] = 0
            if change == "dead" and bias is not None:
                bias[unit] = -1e3
    smaller = same(network, theta, x)
    again = same(smaller.network, smaller.theta, x)
    assert again.network.widths == smaller.network.widths


def test_a_network_without_biases_gets_one_for_a_constant():
    network, theta, layers, x = relu(biases=(True, False, False))
    layers[0][0][5], layers[0][1][5] = 0, 2.0
    smaller = same(network, theta, x)
    assert smaller.network.biases == (True, True, False)


def test_a_dead_network_is_its_last_bias():
    network, theta, layers, x = relu()
    layers[0][1][:] = -1e3
    assert same(network, theta, x).network.widths == (3, 1, 1)


def test_what_feeds_only_dead_units_goes():
    network, theta, layers, x = relu(seed=5)
    layers[1][0][1:, 2] = 0
    layers[1][1][0] = -1e3
    layers[1][0][0] = 0
    widths = same(network, theta, x).network.widths
    assert widths[1] <= 11
    assert widths[2] <= 8


@given(st.integers(0, 200))
@settings(deadline=None, max_examples=30)
def test_diagonal_networks_compact_to_rounding(seed):
    rng = np.random.default_rng(seed)
    network = DiagonalLinear(d=15)
    theta = rng.standard_normal(30) * 10.0 ** -rng.integers(0, 20, 30)
    theta[rng.integers(0, 30, 5)] = 0
    x = rng.standard_normal((20, 15))
    smaller = compact(network, theta, x)
    wanted, found = network.predict(theta, x), smaller.predict(x)
    largest = np.abs(network.coefficients(theta) * x).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=4 * np.finfo(float).eps * largest)
    assert smaller.network.d == len(smaller.inputs)
    u, v = smaller.theta[: smaller.network.d], smaller.theta[smaller.network.d :]
    np.testing.assert_array_equal(u, theta[smaller.inputs])
    np.testing.assert_array_equal(v, theta[15 + smaller.inputs])


def test_exact_zeros_of_a_diagonal_network_go():
    theta = np.array([1.0, 0.0, 2.0, 3.0, 4.0, 0.0])
    smaller = compact(DiagonalLinear(3), theta, np.ones((2, 3)))
    assert smaller.inputs.tolist() == [0]
    assert compact(DiagonalLinear(3), np.zeros(6), np.ones((2, 3))).network.d == 1


@pytest.mark.parametrize(
    ("network", "theta", "x", "error", "message"),
    [
        (ScalarQuadratic(), np.ones(1), np.ones((2, 1)), TypeError, "got ScalarQuadratic"),
        (DiagonalLinear(2), np.ones(3), np.ones((2, 2)), ValueError, "theta must have 4"),
        (DiagonalLinear(2), np.ones(4), np.ones((2, 3)), ValueError, "x must have 2 columns"),
        (DiagonalLinear(2), np.ones(4), np.ones((0, 2)), ValueError, "at least one row"),
        (DiagonalLinear(2), np.full(4, np.nan), np.ones((2, 2)), ValueError, "theta must be fin"),
    ],
)
def test_bad_input_is_refused(network, theta, x, error, message):
    with pytest.raises(error, match=message):
        compact(network, theta, x)


def test_the_smaller_network_is_one_of_the_library():
    network, theta, _, x = relu()
    smaller = compact(network, theta, x)
    assert isinstance(smaller.network, networks.Network)
    core = smaller.network.jacobian(smaller.theta, x)
    assert core.shape == (40, smaller.network.parameters)
