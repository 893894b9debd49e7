"""The noise of an image, found from the image alone before anything is learned from it."""

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.data.patches import PatchGrid

Floats = NDArray[np.float64]

_LARGEST_SIDE, _SMALLEST_SIDE, _SIDES_IN_IMAGE = 8, 3, 10
_MOST_PATCHES = 49_152
_SMOOTH = 0.99
"""Of what noise alone looks like, the share that counts as smooth."""
_LEAST_SMOOTH = 1000
_ROUNDS, _SETTLED = 6, 1e-3
_STANDS_OUT = 1.25
"""How many times the noise variance is more than chance makes of it."""


class Noise(NamedTuple):
    """What patches tell of the noise of an image."""

    sigma: float
    """Its standard deviation."""
    visible: float
    """The share of the directions of small patches in which the image stands out of it: 0 for noise alone."""


def noise_of(image: Floats) -> Noise:
    """The white noise in an image (height, width, channels) of at least 3 x 3 pixels.

    Patches of an image without noise lie near a plane of few dimensions, so that the small eigenvalues of the
    covariance of noisy ones are all the noise variance: of the smallest, as many as have a mean no larger than their
    median (Chen, Zhu and Heng, ICCV 2015). Texture has no such plane, so they are those of patches amid blocks that are
    no rougher than the noise makes them (after Liu, Tanaka and Okutomi, IEEE TIP 2013). NaN marks what is missing;
    entries of the covariance are then those of all patches that have both values. `sigma` is 0 where no two values are
    known, or all are equal.
    """
    height, width, n_channels = image.shape
    side = min(_LARGEST_SIDE, max(_SMALLEST_SIDE, min(height, width) // _SIDES_IN_IMAGE))
    amid = side // 2
    has_no_blocks = np.isnan(image).any() or min(height, width) < 2 * side
    inner = image if has_no_blocks else image[amid : height - side + amid, amid : width - side + amid]
    grid = PatchGrid((*inner.shape[:2], 1), (side, side), 1)
    numbers = np.unique(np.linspace(0, grid.n_patches - 1, _MOST_PATCHES // n_channels).astype(np.int64))
    patches = np.concatenate([grid.cut(inner[:, :, channel, None], numbers) for channel in range(n_channels)])
    eigenvalues = _eigenvalues(patches)
    variance = _noise_variance(eigenvalues)
    if not has_no_blocks:
        rough = np.concatenate([_roughness(image[:, :, channel], 2 * side)[numbers] for channel in range(n_channels)])
        variance = _amid_smooth_blocks(patches, rough / _most_rough(2 * side), variance)
    return Noise(variance**0.5, float(np.mean(eigenvalues > _STANDS_OUT * variance)))


def _amid_smooth_blocks(patches: Floats, rough: Floats, variance: float) -> float:
    """The noise variance of the patches (n, D) whose roughness (n,), in units of the most that noise of variance 1
    looks like, is no more than it should be."""
    last = min(_LEAST_SMOOTH, len(rough)) - 1
    least = np.partition(rough, last)[last]
    for _ in range(_ROUNDS):
        before, variance = variance, _noise_variance(_eigenvalues(patches[rough <= max(variance, least)]))
        if abs(variance - before) <= _SETTLED * before:
            break
    return variance


def _noise_variance(eigenvalues: Floats) -> float:
    """The mean of the smallest ones, as many as have a mean no larger than their median."""
    n = next(n for n in range(len(eigenvalues), 0, -1) if eigenvalues[:n].mean() <= np.median(eigenvalues[:n]))
    return max(float(eigenvalues[:n].mean()), 0.0)


def _eigenvalues(patches: Floats) -> Floats:
    """Those of the covariance of patches (n, D), ascending."""
    observed = ~np.isnan(patches)
    known = np.where(observed, patches, 0.0)
    centered = np.where(observed, patches - known.sum(axis=0) / np.maximum(observed.sum(axis=0), 1), 0.0)
    n_pairs = observed.T.astype(np.float64) @ observed
    return np.asarray(np.linalg.eigvalsh(centered.T @ centered / np.maximum(n_pairs, 1.0)), np.float64)


def _roughness(channel: Floats, side: int) -> Floats:
    """The squares of differences of neighbors, added up in each block of `side` pixels in each direction."""
    down, across = np.diff(channel, axis=0) ** 2, np.diff(channel, axis=1) ** 2
    return (_in_blocks(down, side - 1, side) + _in_blocks(across, side, side - 1)).ravel()


def _in_blocks(values: Floats, height: int, width: int) -> Floats:
    """Sums over all blocks of this size."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]


def _most_rough(side: int) -> float:
    """The roughness that noise of variance 1 stays below in the share `_SMOOTH` of blocks: of a gamma distribution
    with its mean and variance, the traces of the grid's graph Laplacian and of twice its square."""
    n_differences = 2 * side * (side - 1)
    squares = 4 * 2**2 + 4 * (side - 2) * 3**2 + (side - 2) ** 2 * 4**2
    mean, variance = 2.0 * n_differences, 2.0 * (squares + 2 * n_differences)
    return float(scipy.special.gammaincinv(mean**2 / variance, _SMOOTH)) * variance / mean
