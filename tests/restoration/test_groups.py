"""Rounds over an image: what they do to noise and gaps, and that nobody sees who did them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from prosper_ng.parallel.communicator import SerialCommunicator
from prosper_ng.parallel.team import on_team
from prosper_ng.restoration.groups import Groups, refined

SIGMA = 20.0
GROUPS = Groups((5, 5), n_similar=12, reach=8)


@pytest.fixture(scope="module")
def image():
    """Stripes of two directions: patches that have many like them."""
    i, j = np.mgrid[:34, :37]
    return np.where(j < 18, 128 + 90 * np.sin(0.5 * i + 0.2 * j), 128 + 90 * np.sin(0.6 * j))[:, :, None]


def blurred(values):
    """A crude pilot."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    sums, counts = (gaussian_filter(each, (1.2, 1.2, 0)) for each in (filled, known.astype(float)))
    return sums / np.maximum(counts, 1e-9)


def error(image, estimate):
    return float(np.sqrt(np.mean((image - estimate) ** 2)))


def test_noise_falls_and_its_level_is_found(image):
    noisy = image + SIGMA * np.random.default_rng(0).standard_normal(image.shape)
    pilot, sigma, errors = blurred(noisy), 1.5 * SIGMA, []
    for _ in range(4):
        found = refined(pilot, noisy, sigma, GROUPS, SerialCommunicator())
        pilot, sigma = found.image, found.sigma
        errors.append(error(image, pilot))
    assert errors[-1] < 0.5 * error(image, blurred(noisy))
    assert errors[-1] < 0.4 * SIGMA
    assert 0.85 * SIGMA < sigma < 1.15 * SIGMA
    within = np.abs(pilot - image) < 2 * found.deviation
    assert within.mean() > 0.7


def test_gaps_are_filled_from_what_was_observed(image):
    hidden = np.random.default_rng(1).random(image.shape) < 0.6
    known = np.where(hidden, np.nan, image)
    first = pilot = np.where(hidden, blurred(known), image)
    for sigma in (15.0, 10.0, 5.0, 3.0):
        found = refined(pilot, known, sigma, GROUPS, SerialCommunicator())
        pilot = np.where(hidden, found.image, image)
    assert error(image[hidden], pilot[hidden]) < 0.6 * error(image[hidden], first[hidden])
    assert found.deviation[hidden].mean() > found.deviation[~hidden].mean()


def test_patches_without_gaps_can_be_passed_over(image):
    noisy, pilot = image.copy(), blurred(image)
    noisy[15:20, 20:23] = np.nan
    some, every = (
        refined(pilot, noisy, 5.0, GROUPS, SerialCommunicator(), only_gaps=only_gaps) for only_gaps in (True, False)
    )
    far = np.ones(image.shape, bool)
    far[2:34, 7:37] = False  # no patch with a gap that a group here could find reaches so far
    np.testing.assert_array_equal(some.image[far], pilot[far])
    assert (every.image[far] != pilot[far]).any()
    hidden = np.isnan(noisy)
    assert (some.image[hidden] != pilot[hidden]).all()
    np.testing.assert_allclose(some.image[hidden], every.image[hidden], atol=12)
    noisy[np.random.default_rng(0).random(noisy.shape) < 0.6] = np.nan  # a gap in every patch
    some, every = (
        refined(pilot, noisy, 5.0, GROUPS, SerialCommunicator(), only_gaps=only_gaps) for only_gaps in (True, False)
    )
    np.testing.assert_array_equal(some.image, every.image)


@pytest.mark.parametrize(("share_missing", "only_gaps"), [(0.0, False), (0.3, False), (0.02, True)])
def test_the_bits_do_not_depend_on_the_ranks(image, share_missing, only_gaps):
    rng = np.random.default_rng(2)
    color = np.concatenate([image, 0.5 * image, 255 - image], axis=2)
    noisy = color + SIGMA * rng.standard_normal(color.shape)
    noisy[rng.random(noisy.shape) < share_missing] = np.nan
    alone = refined(color, noisy, SIGMA, GROUPS, SerialCommunicator(), 2, True, only_gaps)
    for size in (2, 3):
        for found in on_team(size, lambda ranks: refined(color, noisy, SIGMA, GROUPS, ranks, 2, True, only_gaps)):
            np.testing.assert_array_equal(found.image, alone.image)
            np.testing.assert_array_equal(found.deviation, alone.deviation)
            assert found.sigma == alone.sigma


def test_a_patch_as_large_as_the_image_is_a_group_of_its_own():
    noisy = np.random.default_rng(3).uniform(0, 255, (6, 7, 1))
    found = refined(noisy, noisy, 1.0, Groups((6, 7)), SerialCommunicator())
    assert np.isfinite(found.image).all()
