"""Which patches are found, against all distances."""

import numpy as np
import pytest

from prosper_ng.data.patches import PatchGrid
from prosper_ng.restoration.similar_patches import cut_patch, similar_patches


def found(image, top, left, size, reach, n):
    corners = np.empty((n, 2), np.int64)
    n_found = similar_patches(
        image.astype(np.float32), top, left, *size, reach, np.empty((2 * reach + 1) ** 2, np.float32), corners
    )
    return [tuple(corner) for corner in corners[:n_found].tolist()]


@pytest.mark.parametrize(("top", "left"), [(0, 0), (5, 6), (9, 10)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_the_nearest_in_the_window_are_found_in_raster_order(top, left, n_channels):
    image = np.random.default_rng(2).uniform(0, 255, (12, 14, n_channels))
    candidates = {
        (i, j): float(np.sum((image[i : i + 3, j : j + 4] - image[top : top + 3, left : left + 4]) ** 2))
        for i in range(max(0, top - 4), min(9, top + 4) + 1)
        for j in range(max(0, left - 4), min(10, left + 4) + 1)
    }
    nearest = sorted(sorted(candidates, key=candidates.__getitem__)[:6])
    assert found(image, top, left, (3, 4), 4, 6) == nearest
    assert (top, left) in nearest


def test_of_equally_near_ones_the_first_are_taken_beside_the_patch_itself_and_there_may_be_fewer():
    image = np.zeros((6, 6, 1))
    assert found(image, 2, 2, (3, 3), 1, 4) == [(1, 1), (1, 2), (1, 3), (2, 2)]
    assert found(image, 0, 0, (6, 6), 5, 4) == [(0, 0)]


def test_patches_are_cut_as_rows_of_data_are():
    image = np.random.default_rng(3).uniform(0, 255, (7, 8, 3))
    grid = PatchGrid((7, 8, 3), (2, 3), 1)
    row = np.empty(grid.n_values)
    cut_patch(image, 1, 4, 2, 3, row)
    tops, lefts = grid.corners(0, grid.n_patches)
    (number,) = np.flatnonzero((tops == 1) & (lefts == 4))
    np.testing.assert_array_equal(row, grid.extract(image, number, number + 1)[0])
