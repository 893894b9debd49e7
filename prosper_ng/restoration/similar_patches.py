"""Kernels that find the patches of an image most similar to one of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]


@kernel(fastmath=True)
def similar_patches(
    image: Singles, top: int, left: int, height: int, width: int, reach: int, distances: Singles, corners: Ints
) -> Any:
    """Write the corners (n, 2) of the n patches nearest to the one at (top, left), in raster order; how many there are.

    `image` is (rows, columns, channels); candidates lie within `reach` pixels up, down, left and right. `distances` has
    room for all of them. The patch itself is among them, and of equally near ones the first.
    """
    rows, columns, _ = image.shape
    first_top, last_top = max(0, top - reach), min(rows - height, top + reach)
    first_left, last_left = max(0, left - reach), min(columns - width, left + reach)
    across = last_left - first_left + 1
    n_candidates = (last_top - first_top + 1) * across
    for i in range(first_top, last_top + 1):
        for j in range(first_left, last_left + 1):
            place = (i - first_top) * across + j - first_left
            distances[place] = _distance(image, i, j, top, left, height, width)
    distances[(top - first_top) * across + left - first_left] = -1.0
    n_wanted = min(len(corners), n_candidates)
    limit = np.partition(distances[:n_candidates], n_wanted - 1)[n_wanted - 1]
    n_nearer = 0
    for place in range(n_candidates):
        n_nearer += distances[place] < limit
    n_found, n_ties = 0, n_wanted - n_nearer
    for place in range(n_candidates):
        is_tie = distances[place] == limit
        if distances[place] < limit or (is_tie and n_ties > 0):
            n_ties -= is_tie
            corners[n_found, 0] = first_top + place // across
            corners[n_found, 1] = first_left + place % across
            n_found += 1
    return n_found


@kernel(fastmath=True)
def _distance(image: Singles, i: int, j: int, top: int, left: int, height: int, width: int) -> Any:
    total = np.float32(0.0)
    for down in range(height):
        one, other = image[i + down], image[top + down]
        for across in range(width):
            for channel in range(image.shape[2]):
                difference = one[j + across, channel] - other[left + across, channel]
                total += difference * difference
    return total


@kernel
def cut_patch(image: Any, top: int, left: int, height: int, width: int, into: Any) -> None:
    """Copy one patch of an image (rows, columns, channels) into a row, as `PatchGrid.extract` orders it."""
    place = 0
    for i in range(top, top + height):
        for j in range(left, left + width):
            for channel in range(image.shape[2]):
                into[place] = image[i, j, channel]
                place += 1
