"""Patches of many pictures as the rows of one dataset; files are opened as their patches are asked for."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import DataError, require_rows
from prosper_ng.data.patches import PatchGrid
from prosper_ng.data.preprocessing import Kind, PreparedRows, fit
from prosper_ng.numerics.named_arrays import NamedArrays
from prosper_ng.numerics.random_streams import stream

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KEPT_BYTES = 1 << 28
"""Of pictures that stay in memory once they are decoded; at least one does."""
_DRAWN_TOGETHER = 1024


class PictureSet:
    """Pictures by their number, decoded when they are needed and kept for a while."""

    def __init__(self, shapes: Sequence[tuple[int, int, int]], read: Callable[[int], Floats]) -> None:
        """Pictures (height, width, channels) of these shapes; `read` decodes one of them."""
        self.shapes = list(shapes)
        self._read, self._kept, self._reading = read, OrderedDict[int, Floats](), Lock()

    def __getitem__(self, number: int) -> Floats:
        """The picture of a number; raises DataError where it is damaged or has another shape than it said."""
        with self._reading:  # ranks may be threads
            if number not in self._kept:
                self._kept[number] = self._read(number)
                self._forget()
            self._kept.move_to_end(number)
            return self._kept[number]

    def _forget(self) -> None:
        """Let go of those that were not asked for longest."""
        while len(self._kept) > 1 and sum(picture.nbytes for picture in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)


class PicturePatches(PreparedRows):
    """Patches of pictures as rows: all that lie every `stride` pixels, picture by picture, or some drawn from these.

    The places of all patches are cut into `n_patches` stretches of equal length, one place of each is drawn by the
    number of its row: pictures count as much as they have places, no patch comes twice, and rows follow the pictures.
    """

    truth: NamedArrays | None = None

    def __init__(
        self,
        pictures: PictureSet,
        patch_size: tuple[int, int],
        stride: int,
        n_patches: int | None,
        seed: int,
        remove_mean: bool = True,
        whiten: Kind = "none",
        whiten_epsilon: float = 1e-4,
        missing: bool = False,
        mean_of_channels: bool = False,
        where: str = "the pictures",
    ) -> None:
        """All patches, or `n_patches` that are drawn by the seed; the pictures have as many channels each.

        Raises DataError where no picture holds a patch, there are fewer than are to be drawn, or they would be whitened
        though values are `missing`.
        """
        self.pictures, self.where, self._seed = pictures, where, seed
        grids = {shape: _grid(shape, patch_size, stride) for shape in set(pictures.shapes)}
        self._grids = [grids[shape] for shape in pictures.shapes]
        counts = [0 if grid is None else grid.n_patches for grid in self._grids]
        self._firsts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        n_channels = pictures.shapes[0][2]
        self.n_places = int(self._firsts[-1])
        if self.n_places == 0:
            raise DataError(f"{where}: patches of {patch_size[0]} x {patch_size[1]} pixels fit into no picture")
        if n_patches is not None and n_patches > self.n_places:
            raise DataError(
                f"{where}: n_patches is {n_patches:,}, and there are only {self.n_places:,} patches; draw fewer, or "
                "choose a smaller stride"
            )
        self.n_places_of = counts
        self.is_drawn, self.n_rows = n_patches is not None, n_patches or self.n_places
        self.row_shape: tuple[int, ...] = (*patch_size, n_channels)
        self.n_observed = patch_size[0] * patch_size[1] * n_channels
        self.preprocessing = fit(
            remove_mean, whiten, whiten_epsilon, self.raw, self.n_rows, where, missing,
            n_channels if mean_of_channels else 1,
        )  # fmt: skip

    @property
    def held_bytes(self) -> int:
        """The pictures that are kept, and what one is made of."""
        sizes = [8 * height * width * n_channels for height, width, n_channels in self.pictures.shapes]
        return max(min(KEPT_BYTES, sum(sizes)), max(sizes)) + 2 * max(sizes)

    def raw(self, start: int, stop: int) -> Floats:
        """Patches start..stop as rows (stop - start, D) on the 8-bit scale, NaN where a value is missing."""
        require_rows(start, stop, self.n_rows)
        places = self.places(start, stop)
        rows = np.empty((stop - start, self.n_observed))
        for number, first, last in self._of_pictures(places):
            grid = self._grids[number]
            assert grid is not None
            rows[first:last] = grid.cut(self.pictures[number], places[first:last] - self._firsts[number])
        return rows

    def places(self, start: int, stop: int) -> Ints:
        """The places of rows start..stop among those of all patches of all pictures."""
        if not self.is_drawn:
            return np.arange(start, stop)
        found = np.empty(stop - start, np.int64)
        streams = stream(self._seed, "patches of pictures")
        whole, rest = divmod(self.n_places, self.n_rows)
        for first in range(start - start % _DRAWN_TOGETHER, stop, _DRAWN_TOGETHER):
            shares = streams.generator(first // _DRAWN_TOGETHER).random(_DRAWN_TOGETHER)
            rows = np.arange(max(first, start), min(first + _DRAWN_TOGETHER, stop))
            # Stretches as equal as whole numbers are, without a product that leaves 64 bits.
            begin, end = (whole * r + rest * r // self.n_rows for r in (rows, rows + 1))
            steps = (shares[rows - first] * (end - begin)).astype(np.int64)
            found[rows - start] = begin + np.minimum(steps, end - begin - 1)
        return found

    def _of_pictures(self, places: Ints) -> Iterator[tuple[int, int, int]]:
        """The pictures that rising places lie in, each with the first and the last of the places."""
        numbers = np.searchsorted(self._firsts, places, side="right") - 1
        edges = np.append(np.flatnonzero(np.diff(numbers, prepend=-1)), len(places))
        for first, last in pairwise(edges):
            yield int(numbers[first]), int(first), int(last)


def _grid(shape: tuple[int, int, int], patch_size: tuple[int, int], stride: int) -> PatchGrid | None:
    """Where patches lie in a picture; None where it is smaller than one."""
    fits = patch_size[0] <= shape[0] and patch_size[1] <= shape[1]
    return PatchGrid(shape, patch_size, stride) if fits else None
