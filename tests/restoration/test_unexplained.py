"""Classes of patches by what is left around them, each with the covariance that the noise does not explain."""

import numpy as np

from prosper_ng.restoration.unexplained import precisions_by_class

SIGMA = 10.0


def residual(shape=(150, 160, 1)):
    """Noise, and in the right half as much again that varies from column to column alone."""
    rng = np.random.default_rng(0)
    values = SIGMA * rng.standard_normal(shape)
    values[:, shape[1] // 2 :] += SIGMA * rng.standard_normal((1, shape[1] - shape[1] // 2, shape[2]))
    return values


def test_a_part_with_texture_has_a_covariance_of_its_own():
    precisions, classes = precisions_by_class(residual(), SIGMA, (5, 5))
    assert classes.shape == (146, 156)
    assert len(precisions) == 2
    assert (classes[:, :60] == 0).all()
    assert (classes[:, 95:] == 1).all()
    plain, textured = np.linalg.inv(precisions)
    np.testing.assert_allclose(plain, SIGMA**2 * np.eye(25), atol=0.2 * SIGMA**2)
    columns = np.tile(np.eye(5), (5, 5))
    np.testing.assert_allclose(textured, SIGMA**2 * (np.eye(25) + columns), atol=0.4 * SIGMA**2)


def test_small_images_have_one_class_and_equal_values_no_empty_one():
    precisions, classes = precisions_by_class(residual((40, 40, 2)), SIGMA, (5, 5))
    assert precisions.shape == (1, 50, 50)
    assert not classes.any()
    flat = np.zeros((150, 160, 1))
    precisions, classes = precisions_by_class(flat, SIGMA, (5, 5))
    np.testing.assert_allclose(precisions, np.eye(25)[None] / SIGMA**2)
    assert not classes.any()
    flat[:20, :20] = 1.0
    precisions, classes = precisions_by_class(flat, SIGMA, (5, 5))
    assert np.isfinite(precisions).all()
    assert len(np.unique(classes)) == len(precisions)


def test_variances_are_never_below_those_of_the_noise():
    precisions, _ = precisions_by_class(0.3 * residual(), SIGMA, (4, 4))
    eigenvalues = np.linalg.eigvalsh(precisions)
    assert (eigenvalues <= (1 + 1e-9) / SIGMA**2).all()
    assert (eigenvalues > 0).all()
