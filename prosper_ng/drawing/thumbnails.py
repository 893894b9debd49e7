"""Small pictures of dictionaries inside of HTML, made without matplotlib."""

import base64
import io
import math
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from prosper_ng.drawing.elements import curves_in, order_of_use
from prosper_ng.drawing.pixels import Grid, mosaic_in, tiles

Floats = NDArray[np.float64]

_MOST_TILES, _MOST_CURVES = 48, 24
_COLUMNS = 12
_TILE = 48
_SCALE = 0.5
"""Of the pixels, on a page: as sharp as screens are that have two pixels for one."""


def thumbnail(W: Floats, patch_shape: Sequence[int] | None, use: Floats | None) -> tuple[str, int]:
    """The first columns of W (D, H), the most used ones where `use` (H,) is known, as an element for a page; and how
    many there are. Nothing where a package is missing.
    """
    order = order_of_use(W.shape[1], use)
    if patch_shape is None:
        shown = order[:_MOST_CURVES]
        return _curves(W[:, shown]), len(shown)
    shown = order[:_MOST_TILES]
    return (_tiles(W[:, shown], patch_shape), len(shown)) if find_spec("PIL") else ("", 0)


def _tiles(elements: Floats, patch_shape: Sequence[int]) -> str:
    from PIL import Image

    every = math.ceil(max(patch_shape[:2]) / _TILE)
    small = tiles(elements, patch_shape)[:, ::every, ::every]
    height, width = small.shape[1:3]
    zoom = max(1, _TILE // max(height, width))
    grid = Grid(len(small), min(_COLUMNS, len(small)), height * zoom + 2, width * zoom + 2, 4)
    stream = io.BytesIO()
    Image.fromarray(mosaic_in(grid, small, clear=True)).save(stream, "PNG", optimize=True)
    source = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="dictionary elements" {_size(grid)} src="data:image/png;base64,{source}">'


def _curves(elements: Floats) -> str:
    n_shown = elements.shape[1]
    grid = Grid(n_shown, min(_COLUMNS, n_shown), 56, 84, 8)
    curves, zeros = curves_in(grid, elements)
    height, width = grid.size
    lines = [f'<polyline points="{_points(zero)}" stroke-width="1" opacity="0.4"/>' for zero in zeros]
    lines += [f'<polyline points="{_points(curve)}" stroke-width="2" stroke-linejoin="round"/>' for curve in curves]
    drawing = f'role="img" aria-label="dictionary elements" fill="none" stroke="currentColor" {_size(grid)}'
    return f'<svg {drawing} viewBox="0 -2 {width} {height + 4}">{"".join(lines)}</svg>'


def _size(grid: Grid) -> str:
    height, width = (round(_SCALE * side) for side in grid.size)
    return f'width="{width}" height="{height}"'


def _points(curve: Floats) -> str:
    return " ".join(f"{x:.0f},{y:.1f}" for x, y in curve)
