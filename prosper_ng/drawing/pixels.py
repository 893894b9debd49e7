"""Pixels of pictures: dictionaries as mosaics of tiles, images on the 8-bit scale."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.images import shown

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_MOSAIC_WIDTH = 1400
_LARGEST_TILE = 160
_FRAME = 80
_CLEAR = (0, 0, 0, 0)
_WHITE = (255, 255, 255)


def tiles(W: Floats, patch_shape: Sequence[int]) -> Pixels:
    """(H, height, width, 3) gray or color tiles of the columns of W (D, H), zero in the middle of the scale.

    `patch_shape` is (height, width, 1 or 3 channels). Every tile is scaled to its own largest magnitude.
    """
    elements = W.T.reshape(-1, *patch_shape)
    largest = np.abs(elements).max(axis=(1, 2, 3), keepdims=True)
    return eight_bit(127.5 + 127.5 * elements / np.where(largest > 0, largest, 1))


def mosaic(tiles: Pixels, n_columns: int | None = None, clear: bool = False) -> Pixels:
    """All tiles (H, height, width, 3), framed, in rows; enlarged by whole pixels.

    (rows, columns, 3) on white, or (rows, columns, 4) with nothing between the tiles where `clear` is asked for.
    """
    if clear:
        tiles = np.concatenate([tiles, np.full_like(tiles[..., :1], 255)], axis=-1)
    n_tiles, height, width, n_channels = tiles.shape
    n_columns = n_columns or _n_columns(n_tiles, height / width)
    zoom = max(1, min(_MOSAIC_WIDTH // (n_columns * (width + 1)), _LARGEST_TILE // max(height, width)))
    gap = max(2, zoom // 2)
    framed_height, framed_width = height * zoom + 2, width * zoom + 2
    n_rows = math.ceil(n_tiles / n_columns)
    shape = (n_rows * (framed_height + gap) - gap, n_columns * (framed_width + gap) - gap, n_channels)
    canvas = np.full(shape, _CLEAR if clear else _WHITE, dtype=np.uint8)
    frame = [*[_FRAME] * 3, 255][:n_channels]
    for place, tile in enumerate(tiles):
        top, left = place // n_columns * (framed_height + gap), place % n_columns * (framed_width + gap)
        canvas[top : top + framed_height, left : left + framed_width] = frame
        canvas[top + 1 : top + framed_height - 1, left + 1 : left + framed_width - 1] = enlarged(tile, zoom)
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


def _n_columns(n_tiles: int, tile_shape: float) -> int:
    """Columns that make the mosaic a bit wider than high, and its last row as full as can be."""
    ideal = math.sqrt(n_tiles * 1.3 * tile_shape)
    candidates = range(max(1, math.ceil(0.8 * ideal)), min(n_tiles, math.ceil(1.4 * ideal)) + 1)
    return min(candidates, key=lambda n_columns: (-n_tiles % n_columns / n_columns, abs(n_columns - ideal)), default=1)
