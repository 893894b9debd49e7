"""Gaps closed crudely: what was observed stays, and what comes in is an average of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prosper_ng.data.interpolation import interpolated
from prosper_ng.data.patches import PatchDataset, PatchGrid


@settings(deadline=None, max_examples=20)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 40), st.sampled_from([1, 3])),
    st.floats(0, 0.95),
    st.integers(0, 2**32),
)
def test_what_was_observed_is_kept_and_gaps_lie_between_its_extremes(shape, share, seed):
    rng = np.random.default_rng(seed)
    picture = rng.uniform(-100, 300, shape)
    picture[rng.random(shape) < share] = np.nan
    found = interpolated(picture)
    observed = ~np.isnan(picture)
    np.testing.assert_array_equal(found[observed], picture[observed])
    for channel in range(shape[2]):
        own, filled = picture[..., channel], found[..., channel]
        if np.isnan(own).all():
            assert np.isnan(filled).all()
        else:
            assert np.nanmin(own) - 1e-9 <= filled.min() <= filled.max() <= np.nanmax(own) + 1e-9


def test_a_hole_far_wider_than_any_blur_at_first_and_a_lost_row():
    picture = np.full((60, 80, 1), 70.0)
    picture[10:, 5:75] = np.nan
    picture[3] = np.nan
    np.testing.assert_allclose(interpolated(picture), 70.0, atol=1e-9)


def test_it_is_nearer_to_a_smooth_picture_than_its_mean_is():
    y, x = np.mgrid[0:40, 0:40]
    smooth = (100 + 50 * np.sin(y / 7) + 3 * x)[..., None]
    gaps = np.random.default_rng(0).random(smooth.shape) < 0.8
    found = interpolated(np.where(gaps, np.nan, smooth))
    assert np.std((found - smooth)[gaps]) < 0.2 * smooth.std()


@pytest.mark.parametrize("remove_mean", [True, False])
def test_rows_of_a_closed_picture_are_prepared_as_the_others(remove_mean):
    picture = np.random.default_rng(1).uniform(0, 255, (9, 11, 3))
    whole = PatchDataset(picture, picture, PatchGrid(picture.shape, (4, 4), 2), remove_mean)
    numbers = np.array([5, 0, 2])
    np.testing.assert_array_equal(whole.closed(numbers), whole.read(0, whole.n_rows)[numbers])
    noisy = picture.copy()
    noisy[2, 3] = np.nan
    holey = PatchDataset(picture, noisy, whole.grid, remove_mean, missing=True)
    assert not np.isnan(holey.closed(np.arange(holey.n_rows))).any()
