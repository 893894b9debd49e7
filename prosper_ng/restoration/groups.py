"""A second stage for images: groups of similar patches, each a Gaussian of its own around the pilot estimate.

It is an E-step of a mixture of Gaussians, one for each group, whose means and covariances are those of the pilot's
patches. Responsibilities are truncated to the nearest patches in a window. What an estimate comes to is the pilot of
the next round, and the noise level is learned again in each.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.patches import corners_along
from prosper_ng.errors import Stopped
from prosper_ng.kernels import kernel
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.restoration.local_gaussians import complete_posterior, posterior_with_gaps
from prosper_ng.restoration.similar_patches import cut_patch, similar_patches
from prosper_ng.restoration.unexplained import precisions_by_class

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Watch = Callable[[float], bool]
"""Hears which part of this rank's groups is done, and says whether the rank was asked to stop."""

_BLOCK_GROUPS = 64
_SIDE_IN_COLOR = 0.75


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

    def corners(self, shape: Sequence[int], offset: int = 0) -> tuple[Ints, Ints]:
        """Tops and lefts of the patches of an image (height, width, ...) that groups lie around."""
        height, width = self.patch_size
        return corners_along(shape[0], height, self.step, offset), corners_along(shape[1], width, self.step, offset)

    def number(self, shape: Sequence[int]) -> int:
        """How many groups an image has."""
        tops, lefts = self.corners(shape)
        return len(tops) * len(lefts)


def side_of_groups(side: int, n_channels: int) -> int:
    """What suits images with so many channels where `side` suits gray ones: few patches tell little of many values."""
    return side if n_channels == 1 else round(_SIDE_IN_COLOR * side)


def refined(
    pilot: Floats, noisy: Floats, sigma: float, groups: Groups, comm: Communicator, offset: int = 0,
    with_deviation: bool = True, only_gaps: bool = False, watch: Watch = lambda _: False,
) -> Round:  # fmt: skip
    """One round: images are (height, width, channels), NaN in `noisy` where nothing was observed; all ranks together.

    Groups lie around patches every `step` pixels, begun at `offset`, and at the border. Without gaps those of a class
    share the part of the residual's covariance that the noise of standard deviation `sigma` does not explain.
    Deviations are NaN where nobody wants them, for with gaps they take most of the time. With `only_gaps` patches
    without any are passed over, so that the image may stay the pilot where something was observed. Raises Stopped on
    all ranks where `watch` says of one that it was asked to.
    """
    observed = ~np.isnan(noisy)
    precisions, classes = np.zeros((0, 0, 0)), np.zeros((0, 0), np.int64)
    if observed.all():
        precisions, classes = precisions_by_class(noisy - pilot, sigma, groups.patch_size)
    tops, lefts = groups.corners(pilot.shape, offset)
    blocks = RowBlocks(len(tops) * len(lefts), _BLOCK_GROUPS)
    owned = blocks.owned(comm.rank, comm.size)
    sums, tally = np.zeros((pilot.shape[0], 3, *pilot.shape[1:])), np.zeros(3)
    total, tallies = ExactSum([sums[0, 0].size] * (3 * pilot.shape[0])), ExactSum([1, 1, 1])
    singles, values = pilot.astype(np.float32), np.where(observed, noisy, 0.0)
    for n_done, rows in enumerate(blocks.pieces(0, owned)):
        if watch(n_done / len(owned)):
            tallies.add(np.array([0.0, 0.0, 1.0]))
            break
        numbers = np.arange(rows.start, rows.stop)
        down, across = tops[numbers // len(lefts)], lefts[numbers % len(lefts)]
        first, last = max(0, down[0] - groups.reach), min(len(pilot), down[-1] + groups.reach + groups.patch_size[0])
        sums[first:last] = tally[...] = 0.0
        _add_groups(
            singles, pilot, values, observed, down, across, groups.patch_size, groups.n_similar, groups.reach,
            sigma**2, precisions, classes, with_deviation, only_gaps, sums, tally,
        )  # fmt: skip
        total.add(sums.ravel(), first * sums[0].size, last * sums[0].size)
        tallies.add(tally)
    squares, n_known, n_stopped = tallies.reduce(comm, np.zeros(0))[0]
    if n_stopped:
        raise Stopped
    found = total.reduce(comm, np.zeros(0))[0].reshape(sums.shape)
    means, weights, variances = found[:, 0], found[:, 1], found[:, 2]
    safe = np.where(weights > 0, weights, 1.0)
    is_known = (weights > 0) & (with_deviation or len(precisions) > 0)
    return Round(
        np.where(weights > 0, means / safe, pilot),
        np.sqrt(np.where(is_known, variances / safe, np.nan)),
        float(np.sqrt(squares / n_known)) if n_known else sigma,
    )


@kernel(fastmath=True)
def _add_groups(
    singles: Any, pilot: Floats, values: Floats, observed: Any, tops: Ints, lefts: Ints, size: Any, n_similar: int,
    reach: int, noise_variance: float, precisions: Floats, classes: Ints, with_variances: bool, only_gaps: bool,
    sums: Floats, tally: Floats,
) -> None:  # fmt: skip
    """Add weighted means, weights and variances of the patches of some groups, and squares left with their number."""
    height, width = size
    n_values = height * width * pilot.shape[2]
    distances = np.empty((2 * reach + 1) ** 2, np.float32)
    corners = np.empty((n_similar, 2), np.int64)
    for number in range(len(tops)):
        top, left = tops[number], lefts[number]
        if only_gaps and observed[top : top + height, left : left + width].all():
            continue
        g = similar_patches(singles, top, left, height, width, reach, distances, corners)
        U, Y = np.empty((g, n_values)), np.empty((g, n_values))
        center = np.zeros(n_values)
        for t in range(g):
            cut_patch(pilot, corners[t, 0], corners[t, 1], height, width, U[t])
            cut_patch(values, corners[t, 0], corners[t, 1], height, width, Y[t])
            center += U[t]
        center /= g
        U -= center
        Y -= center
        if len(precisions):
            precision = precisions[classes[top, left]]
            _add_complete(U, Y, center, corners, size, noise_variance, precision, sums, tally)
        else:
            _add_with_gaps(
                U, Y, center, observed, corners, size, noise_variance, with_variances, only_gaps, sums, tally
            )


@kernel(fastmath=True)
def _add_complete(
    U: Floats, Y: Floats, center: Floats, corners: Ints, size: Any, noise_variance: float, precision: Floats,
    sums: Floats, tally: Floats,
) -> None:  # fmt: skip
    means, variances = np.empty(U.shape), np.empty(len(center))
    complete_posterior(U, Y, noise_variance, precision, means, variances)
    for t in range(len(U)):
        tally[0] += variances.sum()
        for d in range(len(center)):
            tally[0] += (Y[t, d] - means[t, d]) ** 2
            means[t, d] += center[d]
        _add_patch(sums, corners[t, 0], corners[t, 1], size, means[t], variances, noise_variance)
    tally[1] += U.size


@kernel(fastmath=True)
def _add_with_gaps(
    U: Floats, Y: Floats, center: Floats, observed: Any, corners: Ints, size: Any, noise_variance: float,
    with_variances: bool, only_gaps: bool, sums: Floats, tally: Floats,
) -> None:  # fmt: skip
    height, width = size
    mean, variances = np.empty(len(center)), np.zeros(len(center))
    wanted = variances if with_variances else variances[:0]
    known = np.empty(U.shape, np.bool_)
    for t in range(len(U)):
        cut_patch(observed, corners[t, 0], corners[t, 1], height, width, known[t])
    n_known = known.sum(axis=1)
    covariance = U.T @ U / len(U) if n_known.min() <= len(U) else np.empty((0, 0))
    for t in range(len(U)):
        if only_gaps and n_known[t] == len(center):
            continue
        places = np.flatnonzero(known[t])
        posterior_with_gaps(U, covariance, Y[t][places], places, noise_variance, mean, wanted)
        for d in places:
            tally[0] += (Y[t, d] - mean[d]) ** 2 + variances[d]
        tally[1] += len(places)
        mean += center
        _add_patch(sums, corners[t, 0], corners[t, 1], size, mean, variances, noise_variance)


@kernel(fastmath=True)
def _add_patch(
    sums: Floats, top: int, left: int, size: Any, mean: Floats, variances: Floats, noise_variance: float
) -> None:
    height, width = size
    weight = 1.0 / (1.0 + variances.sum() / noise_variance)
    place = 0
    for i in range(top, top + height):
        for j in range(left, left + width):
            for channel in range(sums.shape[3]):
                sums[i, 0, j, channel] += weight * mean[place]
                sums[i, 1, j, channel] += weight
                sums[i, 2, j, channel] += weight * variances[place]
                place += 1
