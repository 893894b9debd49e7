"""The noise of an image, found from the image alone before anything is learned from it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.patches import PatchGrid

Floats = NDArray[np.float64]

_LARGEST_SIDE, _SMALLEST_SIDE, _SIDES_IN_IMAGE = 8, 3, 10
_MOST_PATCHES = 49_152


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
    median (Chen, Zhu and Heng, ICCV 2015). NaN marks what is missing; entries of the covariance are then those of the
    patches that have both values. `sigma` is 0 where no two values are known, or all are equal.
    """
    height, width, n_channels = image.shape
    side = min(_LARGEST_SIDE, max(_SMALLEST_SIDE, min(height, width) // _SIDES_IN_IMAGE))
    grid = PatchGrid((height, width, 1), (side, side), 1)
    most = _MOST_PATCHES // n_channels
    numbers = np.unique(np.linspace(0, grid.n_patches - 1, min(grid.n_patches, most)).astype(np.int64))
    patches = np.concatenate([grid.cut(image[:, :, channel : channel + 1], numbers) for channel in range(n_channels)])
    observed = ~np.isnan(patches)
    known = np.where(observed, patches, 0.0)
    centered = np.where(observed, patches - known.sum(axis=0) / np.maximum(observed.sum(axis=0), 1), 0.0)
    n_pairs = observed.T.astype(np.float64) @ observed
    eigenvalues = np.linalg.eigvalsh(centered.T @ centered / np.maximum(n_pairs, 1.0))
    n_of_noise = next(n for n in range(side**2, 0, -1) if eigenvalues[:n].mean() <= np.median(eigenvalues[:n]))
    variance = max(float(eigenvalues[:n_of_noise].mean()), 0.0)
    return Noise(variance**0.5, float(np.mean(eigenvalues > _STANDS_OUT * variance)))
