"""What a pilot leaves of an image beyond its noise: texture that it took for noise, more in one part than in another.

Patches are sorted by how much is left around them into classes, each with a covariance of its own. A single one for the
whole image would give grass what sky needs.
"""

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.data.patches import PatchGrid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SURROUNDINGS = 33
"""Pixels a side over which is averaged what is left; fewer would sort patches by their own noise."""
_PATCHES_PER_VALUE = 320
"""Patches a class has at least, for each value of a patch; with fewer, noise counts as texture by chance."""
_MOST_CLASSES = 24


def precisions_by_class(residual: Floats, sigma: float, patch_size: tuple[int, int]) -> tuple[Floats, Ints]:
    """Inverse covariances (K, D, D) of the patches of a residual (height, width, channels), and each patch's class.

    Variances are at least sigma^2, that of the noise. Classes are an array (tops, lefts) over all places of a patch in
    the image.
    """
    grid = PatchGrid((residual.shape[0], residual.shape[1], residual.shape[2]), patch_size, 1)
    n_classes = min(max(1, grid.n_patches // (_PATCHES_PER_VALUE * grid.n_values)), _MOST_CLASSES)
    left = scipy.ndimage.uniform_filter(np.square(residual).mean(axis=2), _SURROUNDINGS, mode="reflect")
    left = left[patch_size[0] // 2 :, patch_size[1] // 2 :][: len(grid.tops), : len(grid.lefts)]
    bounds = np.unique(np.quantile(left, np.arange(1, n_classes) / n_classes, method="lower"))
    bounds = bounds[bounds < left.max()]
    classes = np.searchsorted(bounds, left)
    precisions = np.empty((len(bounds) + 1, grid.n_values, grid.n_values))
    for number, precision in enumerate(precisions):
        members = np.flatnonzero(classes == number)
        spread = np.linspace(0, len(members) - 1, min(len(members), 2 * _PATCHES_PER_VALUE * grid.n_values))
        patches = grid.cut(residual, members[np.unique(spread.astype(np.int64))])
        eigenvalues, vectors = np.linalg.eigh(np.cov(patches.T, ddof=0).reshape(precision.shape))
        precision[:] = (vectors / np.maximum(eigenvalues, sigma**2)) @ vectors.T
    return precisions, classes
