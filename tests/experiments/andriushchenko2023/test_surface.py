import numpy as np

from largestep.experiments.andriushchenko2023.surface import compute as surface


def test_folding_keeps_the_predictor_and_signs_agree(rng):
    theta = rng.standard_normal((5, 60))
    folded = surface.folded(theta)
    network = surface.NETWORK
    np.testing.assert_allclose(network.coefficients(folded), network.coefficients(theta))
    assert (folded[:, :30] >= 0).all()


def test_the_plane_holds_start_truth_and_the_flows_end(rng):
    end = np.abs(rng.standard_normal(60))
    axes = surface.plane(end)
    origin, first, second = axes
    np.testing.assert_allclose(
        [first @ first, second @ second, first @ second], [1, 1, 0], atol=1e-12
    )
    for theta in (origin, surface.truth(), end):
        x, y = surface.projected(theta, axes)
        np.testing.assert_allclose(origin + x * first + y * second, theta, atol=1e-12)
