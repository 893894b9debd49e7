"""All patches of an image as rows of data, and the way back."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from prosper_ng.data.dataset import (
    NO_COLUMNS,
    Columns,
    DataError,
    ImageDataset,
    observed_means,
    require_finite,
    require_rows,
)
from prosper_ng.data.interpolation import interpolated
from prosper_ng.data.picture_scale import Scale
from prosper_ng.data.preprocessing import Kind, PreparedRows, fit
from prosper_ng.kernels import kernel
from prosper_ng.numerics.named_arrays import NamedArrays

Floats = NDArray[np.float64]

_HELD = 20
"""Arrays of the size of an image that there are at a time, when a run ends."""


class PatchGrid:
    """Where patches lie in an image: top left corners every `stride` pixels, in raster order.

    The last row and column of corners lie where the patch touches the border of the image, even if that is less than
    a stride from the ones before; so the border is never left out.
    """

    def __init__(self, image_shape: tuple[int, int, int], patch_size: tuple[int, int], stride: int) -> None:
        """For images (height, width, channels); raises DataError where no patch fits."""
        height, width, n_channels = image_shape
        if patch_size[0] > height or patch_size[1] > width:
            raise DataError(
                f"patches of {patch_size[0]} x {patch_size[1]} pixels do not fit into an image of {height} x {width}"
            )
        self.image_shape = image_shape
        self.patch_shape = (*patch_size, n_channels)
        self.tops = corners_along(height, patch_size[0], stride)
        self.lefts = corners_along(width, patch_size[1], stride)
        self.n_patches = len(self.tops) * len(self.lefts)
        self.n_values = patch_size[0] * patch_size[1] * n_channels

    def corners(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Top and left of patches start..stop."""
        require_rows(start, stop, self.n_patches)
        return self._corners_of(np.arange(start, stop))

    def extract(self, image: Floats, start: int, stop: int) -> Floats:
        """Patches start..stop of an image as rows (n, D), D running over height, width, channels of the patch."""
        require_rows(start, stop, self.n_patches)
        return self.cut(image, np.arange(start, stop))

    def cut(self, image: Floats, numbers: NDArray[np.int64]) -> Floats:
        """The patches of these numbers (n,) as rows (n, D)."""
        tops, lefts = self._corners_of(numbers)
        windows = sliding_window_view(image, self.patch_shape[:2], axis=(0, 1))
        patches = windows[tops, lefts].transpose(0, 2, 3, 1)
        return patches.reshape(len(numbers), self.n_values)

    def _corners_of(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        i, j = np.divmod(numbers, len(self.lefts))
        return self.tops[i], self.lefts[j]

    def add(self, start: int, patches: Floats, into: Floats) -> None:
        """Add patches start.. (n, D) to an image-shaped sum, in the order of their rows."""
        tops, lefts = self.corners(start, start + len(patches))
        _add_patches(np.ascontiguousarray(patches).reshape(-1, *self.patch_shape), tops, lefts, into)

    def coverage(self, unknown: Columns = NO_COLUMNS) -> Floats:
        """(height, width, channels) how many patches cover each pixel with a column that is not `unknown`.

        It is 0 in the gaps of a stride above the size.
        """
        height, width, n_channels = self.image_shape
        down = _cover(self.tops, self.patch_shape[0], height)
        across = _cover(self.lefts, self.patch_shape[1], width)
        counts = np.repeat(np.outer(down, across)[:, :, None], n_channels, axis=2)
        for i, j, channel in zip(*np.unravel_index(unknown, self.patch_shape), strict=True):
            counts[np.ix_(self.tops + i, self.lefts + j, [channel])] -= 1
        return counts


class PatchDataset(PreparedRows):
    """The patches of an image as rows, with their means removed and whitened where asked for.

    The image is held as a whole; patches are cut when they are read. Missing pixels are NaN in the image and in every
    patch that holds them.
    """

    truth: NamedArrays | None = None
    row_shape: tuple[int, ...]

    def __init__(
        self,
        clean: Floats,
        noisy: Floats,
        grid: PatchGrid,
        remove_mean: bool = True,
        whiten: Kind = "none",
        whiten_epsilon: float = 1e-4,
        missing: bool = False,
        where: str = "the image",
        mean_of_channels: bool = False,
        scale: Scale | None = None,
        notes: tuple[str, ...] = (),
        doubts: tuple[str, ...] = (),
        count: float | None = None,
    ) -> None:
        """Patches of `noisy` (height, width, channels); `clean` is the same image before noise.

        `missing` says whether NaN marks missing pixels in `noisy`, `mean_of_channels` whether each channel of a patch
        has a mean of its own, `scale` which values the image has in its file, where these are others, `count` what a
        photon is in `noisy`, where rows are counts of photons. Raises DataError where all are missing, or where
        they would be whitened.
        """
        require_finite(noisy.reshape(noisy.shape[0], -1), 0, where, missing)
        if np.isnan(noisy).all():
            raise DataError(f"{where} has no pixel that is not missing; at least one is needed")
        self.clean, self.noisy, self.grid, self.count = clean, noisy, grid, count
        self._values = noisy if count is None else np.rint(noisy / count)
        self.n_rows, self.n_observed = grid.n_patches, grid.n_values
        self.row_shape: tuple[int, ...] = grid.patch_shape
        self.where, self.scale, self.notes, self.doubts = where, scale, notes, doubts
        self.level = observed_means(self._values.reshape(1, -1)).item()
        self.preprocessing = fit(
            remove_mean, whiten, whiten_epsilon, self.raw, self.n_rows, where, missing,
            grid.patch_shape[2] if mean_of_channels else 1,
        )  # fmt: skip

    @property
    def as_image(self) -> ImageDataset | None:
        """Itself."""
        return self

    @property
    def held_bytes(self) -> int:
        """The image, and what is held beside it while its quality is measured."""
        return 8 * _HELD * self.noisy.size

    @property
    def is_held(self) -> bool:
        """Patches are cut out of the image."""
        return True

    def raw(self, start: int, stop: int) -> Floats:
        """Patches start..stop as rows (stop - start, D), 8-bit or counts, NaN where a pixel is missing."""
        return self.grid.extract(self._values, start, stop)

    def closed(self, numbers: NDArray[np.int64]) -> Floats:
        """The rows (n, D) of these numbers as they are learned from, after gaps in the picture were closed crudely."""
        return self.preprocessing.apply(self.grid.cut(interpolated(self._values), numbers))

    def rows_of_pixels(self, start: int, stop: int) -> range:
        """The rows of the image that patches start..stop lie in."""
        tops, _ = self.grid.corners(start, stop)
        return range(int(tops[0]), int(tops[-1]) + self.grid.patch_shape[0]) if len(tops) else range(0)

    def add_patches(self, start: int, patches: Floats, into: Floats) -> None:
        """Add estimates (n, D) of raw patches start.. to an image-shaped sum; they have no missing values.

        Estimates that are NaN add nothing; the sum is on the 8-bit scale. It has the same bits however the rows are cut
        into calls, as long as they come in order.
        """
        known = np.where(np.isnan(patches), 0.0, patches)
        self.grid.add(start, known if self.count is None else self.count * known, into)

    def coverage(self, unknown: Columns = NO_COLUMNS) -> Floats:
        """(height, width, channels) how many patches cover each pixel with a column that is not `unknown`."""
        return self.grid.coverage(unknown)

    def merge(self, sums: Floats, unknown: Columns = NO_COLUMNS) -> Floats:
        """The average of the patches added to `sums`, whose `unknown` columns were NaN.

        Pixels of which there is no estimate stay as they were, or missing.
        """
        coverage = self.coverage(unknown)
        return np.where(coverage > 0, sums / np.maximum(coverage, 1), self.noisy)


def corners_along(length: int, size: int, stride: int, begin: int = 0) -> NDArray[np.int64]:
    """Positions begin, begin + stride, ... along one side, and the first and the last that fit."""
    last = length - size
    return np.unique(np.concatenate([[0], np.arange(min(begin, last), last, stride), [last]]))


def _cover(corners: NDArray[np.int64], size: int, length: int) -> Floats:
    """How many stretches of `size` that begin at the corners cover each position along one side."""
    edges = np.zeros(length + 1)
    np.add.at(edges, corners, 1)
    np.add.at(edges, corners + size, -1)
    return np.cumsum(edges[:-1])


@kernel
def _add_patches(patches: Any, tops: Any, lefts: Any, into: Any) -> None:
    for n in range(patches.shape[0]):
        for i in range(patches.shape[1]):
            for j in range(patches.shape[2]):
                for channel in range(patches.shape[3]):
                    into[tops[n] + i, lefts[n] + j, channel] += patches[n, i, j, channel]
