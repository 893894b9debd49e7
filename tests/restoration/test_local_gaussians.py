"""Posteriors of groups against the full covariance matrices that they avoid."""

import numpy as np
import pytest

from prosper_ng.restoration.local_gaussians import complete_posterior, posterior_with_gaps

NOISE_VARIANCE = 0.7


def group(g, n_values, seed):
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((g, n_values)) * rng.uniform(0.1, 3.0, n_values)
    return U - U.mean(0), rng.standard_normal((g, n_values)) * 2.0


@pytest.mark.parametrize(("g", "n_values"), [(5, 12), (12, 5), (1, 4)])
def test_patches_without_gaps(g, n_values):
    U, Y = group(g, n_values, seed=g)
    shared = np.cov(np.random.default_rng(1).standard_normal((n_values, 40)))
    signal = U.T @ U / g + shared
    precision = np.linalg.inv(NOISE_VARIANCE * np.eye(n_values) + shared)
    means, variances = np.empty(Y.shape), np.empty(n_values)
    complete_posterior(U, Y, NOISE_VARIANCE, precision, means, variances)
    gain = signal @ np.linalg.inv(signal + NOISE_VARIANCE * np.eye(n_values))
    np.testing.assert_allclose(means, Y @ gain.T, atol=1e-10)
    np.testing.assert_allclose(variances, np.diag(signal - gain @ signal), atol=1e-10)


@pytest.mark.parametrize("places", [[], [3], [0, 2, 5, 6], list(range(9))], ids=len)
def test_patches_with_gaps(places):
    U, Y = group(4, 9, seed=3)
    places = np.array(places, dtype=np.int64)
    signal = U.T @ U / 4
    mean, variances = np.empty(9), np.empty(9)
    posterior_with_gaps(U, signal, Y[0][places], places, NOISE_VARIANCE, mean, variances)
    seen = signal[np.ix_(places, places)] + NOISE_VARIANCE * np.eye(len(places))
    gain = np.linalg.solve(seen, signal[places]).T
    np.testing.assert_allclose(mean, gain @ Y[0][places], atol=1e-10)
    np.testing.assert_allclose(variances, np.diag(signal - gain @ signal[places]), atol=1e-10)


def test_equal_patches_leave_what_they_are():
    """A flat region: the group has no covariance, and what it says is its mean."""
    means, variances = np.empty((3, 4)), np.empty(4)
    complete_posterior(np.zeros((3, 4)), np.ones((3, 4)), 1.0, np.eye(4), means, variances)
    np.testing.assert_array_equal(means, 0.0)
    np.testing.assert_array_equal(variances, 0.0)
