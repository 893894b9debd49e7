"""The noise level of pictures: smooth ones, with edges, gaps, colors, small and large."""

import numpy as np
import pytest

from prosper_ng.restoration.noise_level import noise_of


def smooth(shape, n_channels=1):
    down, across = np.mgrid[0 : shape[0], 0 : shape[1]] / 20
    image = 120 + 60 * np.sin(down) * np.cos(across) + 30 * np.sin(down + across)
    image[shape[0] // 3 :, shape[1] // 2 :] -= 70  # an edge
    return np.repeat(image[:, :, None], n_channels, axis=2)


@pytest.mark.parametrize("level", [5.0, 15.0, 25.0, 50.0, 75.0])
@pytest.mark.parametrize(("shape", "n_channels"), [((96, 120), 1), ((48, 48), 3)])
def test_it_is_right_within_15_percent(level, shape, n_channels):
    image = smooth(shape, n_channels)
    noisy = image + level * np.random.default_rng(1).standard_normal(image.shape)
    assert noise_of(noisy).sigma == pytest.approx(level, rel=0.15)
    np.testing.assert_allclose(noise_of(noisy.swapaxes(0, 1)).sigma, noise_of(noisy).sigma, rtol=0.05)


def test_it_has_the_unit_of_the_picture_and_no_offset():
    noisy = smooth((64, 64)) + 10 * np.random.default_rng(1).standard_normal((64, 64, 1))
    np.testing.assert_allclose(noise_of(257 * noisy - 4000).sigma, 257 * noise_of(noisy).sigma, rtol=1e-6)


@pytest.mark.parametrize("hidden", [0.2, 0.5])
def test_gaps_leave_it_within_15_percent(hidden):
    rng = np.random.default_rng(1)
    noisy = smooth((128, 128)) + 20 * rng.standard_normal((128, 128, 1))
    noisy[rng.random(noisy.shape) < hidden] = np.nan
    assert noise_of(noisy).sigma == pytest.approx(20, rel=0.15)


def test_where_there_is_nothing_there_is_no_noise():
    assert noise_of(np.full((20, 30, 1), 7.0)).sigma == 0.0
    assert noise_of(np.full((20, 30, 3), np.nan)).sigma == 0.0
    assert noise_of(np.full((3, 3, 1), 7.0)).sigma == 0.0


def test_what_stands_out_of_the_noise_grows_with_texture_and_falls_with_noise():
    rng = np.random.default_rng(1)
    texture = 40 * rng.standard_normal((128, 128, 1)).cumsum(axis=0).cumsum(axis=1) / 20
    images = [smooth((128, 128)), smooth((128, 128)) + np.clip(texture, -80, 80)]
    noise = rng.standard_normal((128, 128, 1))
    assert noise_of(10 * noise).visible < 0.02
    few, more = (noise_of(image + 10 * noise).visible for image in images)
    assert 0 < noise_of(images[0] + 60 * noise).visible < few < more < 1
