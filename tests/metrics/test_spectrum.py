"""Shares of a spectrum by quadrature, against operators whose eigenvalues are known."""

import numpy as np
import pytest

from largestep.metrics.spectrum import spectral_density

EDGES = np.array([-np.inf, 0.0, 1.5, np.inf])
VALUES = np.repeat([-1.0, 1.0, 4.0], [10, 70, 20])


def rotated(values, seed=0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((len(values),) * 2))[0]
    return (basis * values) @ basis.T


def test_shares_are_those_of_the_eigenvalues_within_the_error_that_is_stated():
    beyond = []
    for seed in range(40):
        found = spectral_density(rotated(VALUES, seed), steps=5, starts=8, seed=seed)
        shares, errors = found.shares(EDGES)
        assert shares.sum() == pytest.approx(1.0)
        beyond.append(np.abs(shares - [0.1, 0.7, 0.2]) > 2.36 * errors)  # Student's, of seven
    # A twentieth is beyond, of 120: 6 ± 2.4.
    assert np.sum(beyond) <= 14


def test_signs_know_a_diagonal_exactly_and_one_start_no_error():
    found = spectral_density(np.diag(VALUES), steps=5, starts=3)
    shares, errors = found.shares(EDGES)
    np.testing.assert_allclose(shares, [0.1, 0.7, 0.2])
    np.testing.assert_allclose(errors, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-9)
    alone = spectral_density(np.diag(VALUES), steps=5, starts=1)
    assert np.isnan(alone.standard_error).all()
    assert np.isnan(alone.shares(EDGES)[1]).all()


def test_the_error_of_the_density_is_that_over_the_starts():
    matrix = rotated(VALUES)
    found = spectral_density(matrix, steps=5, starts=6)
    again = [spectral_density(matrix, steps=5, starts=30, seed=seed).density for seed in range(20)]
    peak = np.argmax(found.density)
    expected = np.std([np.interp(found.eigenvalues[peak], found.eigenvalues, d) for d in again])
    assert found.standard_error[peak] == pytest.approx(expected * 5**0.5, rel=0.9)


def test_of_what_is_not_finite_nothing_is_known():
    found = spectral_density(np.full((4, 4), np.nan), steps=2, starts=2)
    assert np.isnan(found.shares(EDGES)).all()
    assert np.isnan(found.standard_error).all()
