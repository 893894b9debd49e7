"""A second stage for images: groups of similar patches, each a Gaussian of its own around the pilot estimate.

It is an E-step of a mixture of Gaussians, one for each group, whose means and covariances are those of the pilot's
patches. Responsibilities are truncated to the nearest patches in a window. What an estimate comes to is the pilot of
the next round, and the noise level is learned again in each.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.restoration.local_gaussians import complete_posterior, posterior_with_gaps
from prosper_ng.restoration.similar_patches import cut_patch, similar_patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK_GROUPS = 64
_MOST_RESIDUALS = 49_152


class Round(NamedTuple):
    """What a round comes to, the same on all ranks."""

    image: Floats
    """(height, width, channels) posterior means, averaged with the inverse variances of their groups."""
    deviation: Floats
    """(height, width, channels) posterior standard deviations, averaged in the same way."""
    sigma: float
    """The noise level that these means leave."""


class Groups(NamedTuple):
    """How groups are made."""

    patch_size: tuple[int, int]
    n_similar: int = 32
    reach: int = 17
    step: int = 4
    share: float = 1.0
    """Of the covariance that the residual holds beyond the noise, what all groups get."""


def refined(pilot: Floats, noisy: Floats, sigma: float, groups: Groups, comm: Communicator, offset: int = 0) -> Round:
    """One round: images are (height, width, channels), NaN in `noisy` where nothing was observed; all ranks together.

    Groups lie around patches every `step` pixels, begun at `offset`, and at the border. Without gaps they share the
    part of the residual's covariance that the noise of standard deviation `sigma` does not explain.
    """
    observed = ~np.isnan(noisy)
    precision = np.zeros((0, 0))
    if observed.all():
        precision = _precision(noisy - pilot, sigma, groups)
    tops, lefts = (
        _corners(size, side, groups.step, offset) for size, side in zip(pilot.shape[:2], groups.patch_size, strict=True)
    )
    blocks = RowBlocks(len(tops) * len(lefts), _BLOCK_GROUPS)
    images = np.zeros((3, *pilot.shape))
    tally = np.zeros(2)
    width = pilot.shape[1] * pilot.shape[2]
    total = ExactSum([width] * (3 * pilot.shape[0]) + [1, 1])
    values = np.where(observed, noisy, 0.0)
    for rows in blocks.pieces(0, blocks.owned(comm.rank, comm.size)):
        images[...] = tally[...] = 0.0
        numbers = np.arange(rows.start, rows.stop)
        _add_groups(
            pilot.astype(np.float32), pilot, values, observed, tops[numbers // len(lefts)], lefts[numbers % len(lefts)],
            groups.patch_size, groups.n_similar, groups.reach, sigma**2, precision, images, tally,
        )  # fmt: skip
        total.add(np.concatenate([images.ravel(), tally]))
    found, _ = total.reduce(comm, np.zeros(0))
    means, weights, variances = found[:-2].reshape(images.shape)
    safe = np.where(weights > 0, weights, 1.0)
    return Round(
        np.where(weights > 0, means / safe, pilot),
        np.sqrt(np.where(weights > 0, variances / safe, np.nan)),
        float(np.sqrt(found[-2] / found[-1])),
    )


def _corners(size: int, side: int, step: int, offset: int) -> Ints:
    return np.unique(np.concatenate([[0], np.arange(min(offset, size - side), size - side, step), [size - side]]))


def _precision(residual: Floats, sigma: float, groups: Groups) -> Floats:
    """The inverse of the noise's covariance plus what patches of the residual (D values) vary by beyond it."""
    windows = sliding_window_view(residual, groups.patch_size, axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    n_patches = windows.shape[0] * windows.shape[1]
    picked = np.unique(np.linspace(0, n_patches - 1, min(n_patches, _MOST_RESIDUALS)).astype(np.int64))
    patches = windows[picked // windows.shape[1], picked % windows.shape[1]].reshape(len(picked), -1)
    eigenvalues, vectors = np.linalg.eigh(np.cov(patches.T, ddof=0).reshape(patches.shape[1], -1))
    variances = sigma**2 + groups.share * np.maximum(eigenvalues - sigma**2, 0.0)
    return np.ascontiguousarray((vectors / variances) @ vectors.T)


@kernel(fastmath=True)
def _add_groups(
    singles: Any, pilot: Floats, values: Floats, observed: Any, tops: Ints, lefts: Ints, size: Any, n_similar: int,
    reach: int, noise_variance: float, precision: Floats, images: Floats, tally: Floats,
) -> None:  # fmt: skip
    """Add weighted means, weights and variances of the patches of some groups, and squares left with their number."""
    height, width = size
    n_values = height * width * pilot.shape[2]
    distances = np.empty((2 * reach + 1) ** 2, np.float32)
    corners = np.empty((n_similar, 2), np.int64)
    known = np.empty(n_values, np.bool_)
    for number in range(len(tops)):
        g = similar_patches(singles, tops[number], lefts[number], height, width, reach, distances, corners)
        U, Y = np.empty((g, n_values)), np.empty((g, n_values))
        for t in range(g):
            cut_patch(pilot, corners[t, 0], corners[t, 1], height, width, U[t])
            cut_patch(values, corners[t, 0], corners[t, 1], height, width, Y[t])
        center = np.zeros(n_values)
        for t in range(g):
            center += U[t]
        center /= g
        U -= center
        Y -= center
        means, variances = np.empty((g, n_values)), np.empty((g, n_values))
        if len(precision):
            complete_posterior(U, Y, noise_variance, precision, means, variances[0])
            for t in range(g):
                _add_patch(images, corners[t], size, means[t] + center, variances[0], noise_variance)
                for d in range(n_values):
                    tally[0] += (Y[t, d] - means[t, d]) ** 2 + variances[0, d]
            tally[1] += g * n_values
            continue
        for t in range(g):
            cut_patch(observed, corners[t, 0], corners[t, 1], height, width, known)
            places = np.flatnonzero(known)
            posterior_with_gaps(U, Y[t][places], places, noise_variance, means[t], variances[t])
            _add_patch(images, corners[t], size, means[t] + center, variances[t], noise_variance)
            for d in places:
                tally[0] += (Y[t, d] - means[t, d]) ** 2 + variances[t, d]
            tally[1] += len(places)


@kernel(fastmath=True)
def _add_patch(images: Floats, corner: Ints, size: Any, mean: Floats, variances: Floats, noise_variance: float) -> None:
    height, width = size
    weight = 1.0 / (1.0 + variances.sum() / noise_variance)
    place = 0
    for i in range(corner[0], corner[0] + height):
        for j in range(corner[1], corner[1] + width):
            for channel in range(images.shape[3]):
                images[0, i, j, channel] += weight * mean[place]
                images[1, i, j, channel] += weight
                images[2, i, j, channel] += weight * variances[place]
                place += 1
