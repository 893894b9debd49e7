"""Pixels of pictures: dictionaries as mosaics of tiles, images on the 8-bit scale."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.images import shown

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

MOSAIC_WIDTH = 1400
_LARGEST_TILE = 160
FRAME = 80
_CLEAR = (0, 0, 0, 0)
_WHITE = (255, 255, 255)


def patch_shape_of(shape: Sequence[int], n_observed: int) -> tuple[int, int, int] | None:
    """(height, width, 1 or 3 channels) of rows of this shape; None where they are no patches that can be looked at."""
    height, width, n_channels = (*shape, *(1 for _ in range(3 - len(shape))))[:3] if len(shape) in (2, 3) else (0, 0, 0)
    is_patch = n_channels in (1, 3) and height * width * n_channels == n_observed > 0
    return (height, width, n_channels) if is_patch else None


def tiles(W: Floats, patch_shape: Sequence[int]) -> Pixels:
    """(H, height, width, 3) gray or color tiles of the columns of W (D, H), zero in the middle of the scale.

    `patch_shape` is (height, width, 1 or 3 channels). Every tile is scaled to its own largest magnitude.
    """
    elements = W.T.reshape(-1, *patch_shape)
    largest = np.abs(elements).max(axis=(1, 2, 3), keepdims=True)
    return eight_bit(127.5 + 127.5 * elements / np.where(largest > 0, largest, 1))


class Grid(NamedTuple):
    """Where cells of one size lie, in pixels: row by row, the first at the top left."""

    n_cells: int
    n_columns: int
    height: int
    """Of a cell with its frame."""
    width: int
    gap: int
    """Between cells beside each other."""
    foot: int = 0
    """Below each cell, where something is written."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of all."""
        n_rows = math.ceil(self.n_cells / self.n_columns)
        height = n_rows * (self.height + self.foot + self.gap) - self.gap
        return height, self.n_columns * (self.width + self.gap) - self.gap

    def corner(self, place: int) -> tuple[int, int]:
        """The top and the left of a cell."""
        row, column = divmod(place, self.n_columns)
        return row * (self.height + self.foot + self.gap), column * (self.width + self.gap)


def grid_of_tiles(n_tiles: int, height: int, width: int, n_columns: int | None = None, foot: int = 0) -> Grid:
    """The cells of tiles (height, width) that are framed, and enlarged by whole pixels as far as there is room."""
    n_columns = n_columns or n_columns_of(n_tiles, height / width)
    zoom = max(1, min(MOSAIC_WIDTH // (n_columns * (width + 1)), _LARGEST_TILE // max(height, width)))
    return Grid(n_tiles, n_columns, height * zoom + 2, width * zoom + 2, max(2, zoom // 2), foot)


def mosaic(tiles: Pixels, n_columns: int | None = None, clear: bool = False) -> Pixels:
    """All tiles (H, height, width, 3), framed, in rows; enlarged by whole pixels.

    (rows, columns, 3) on white, or (rows, columns, 4) with nothing between the tiles where `clear` is asked for.
    """
    height, width = tiles.shape[1:3]
    return mosaic_in(grid_of_tiles(len(tiles), height, width, n_columns), tiles, clear)


def mosaic_in(grid: Grid, tiles: Pixels, clear: bool = False) -> Pixels:
    """All tiles (H, height, width, 3) in the cells of a grid; see `mosaic`."""
    if clear:
        tiles = np.concatenate([tiles, np.full_like(tiles[..., :1], 255)], axis=-1)
    n_channels, zoom = tiles.shape[-1], (grid.width - 2) // tiles.shape[2]
    canvas = np.full((*grid.size, n_channels), _CLEAR if clear else _WHITE, dtype=np.uint8)
    frame = [*[FRAME] * 3, 255][:n_channels]
    for place, tile in enumerate(tiles):
        top, left = grid.corner(place)
        canvas[top : top + grid.height, left : left + grid.width] = frame
        canvas[top + 1 : top + grid.height - 1, left + 1 : left + grid.width - 1] = enlarged(tile, zoom)
    return canvas


def with_channels(image: Floats) -> Floats:
    """(height, width, channels), also of an image without channels."""
    return image[:, :, None] if image.ndim == 2 else image


def eight_bit(image: Floats) -> Pixels:
    """Rounded and clipped to 0..255, with three channels."""
    pixels = np.clip(np.rint(shown(image)), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3)) if pixels.shape[-1] == 1 else pixels


def enlarged(pixels: Pixels, zoom: int) -> Pixels:
    """Every pixel as zoom x zoom pixels."""
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


def n_columns_of(n_tiles: int, tile_shape: float) -> int:
    """Columns that make a mosaic of tiles a bit wider than high, and its last row as full as can be.

    `tile_shape` is the height of a tile over its width.
    """
    ideal = math.sqrt(n_tiles * 1.3 * tile_shape)
    candidates = range(max(1, math.ceil(0.8 * ideal)), min(n_tiles, math.ceil(1.4 * ideal)) + 1)
    return min(candidates, key=lambda n_columns: (-n_tiles % n_columns / n_columns, abs(n_columns - ideal)), default=1)
