"""The network on patches, by hand."""

import numpy as np
import pytest

from largestep.networks import Patches


def test_every_unit_sees_every_patch_and_signs_are_half_and_half():
    network = Patches(patches=2, d=2, units=1)
    # w_1 = (1, 0) of sign 1 and w_2 = (0, 2) of sign -1, patches (3, 1) and (-1, 1).
    theta, x = np.array([1.0, 0.0, 0.0, 2.0]), np.array([[3.0, 1.0, -1.0, 1.0]])
    assert network.predict(theta, x) == [9.0 - 4.0 - 4.0]
    # Patches change places, and nothing else changes.
    assert network.predict(theta, x[:, [2, 3, 0, 1]]) == [1.0]


def test_more_units_share_the_output():
    one, two = Patches(1, 3, 1), Patches(1, 3, 2)
    theta = np.arange(6.0)
    x = np.array([[1.0, -0.5, 2.0]])
    doubled = np.concatenate([theta[:3], theta[:3], theta[3:], theta[3:]])
    np.testing.assert_allclose(two.predict(doubled, x), one.predict(theta, x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patches": 0}, "patches must be at least 1, got 0"),
        ({"units": 1.5}, "units must be an integer, got 1.5"),
        ({"weights_from": 0.1}, "weights_from must be an Initialization, got 0.1"),
    ],
)
def test_what_makes_no_network_is_named(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Patches(**{"patches": 3, "d": 4, "units": 2, **arguments})
