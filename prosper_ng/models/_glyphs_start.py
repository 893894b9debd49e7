"""What glyphs start from: patches that are far from each other, with what they show in the middle."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models._glyphs import Layout
from prosper_ng.models.interface import Floats, Moments
from prosper_ng.numerics.seeding import spread_rows


class First(NamedTuple):
    """The glyphs (D, C), and the mean and standard deviation of the background."""

    W: Floats
    B: float
    sigma: float


def first_glyphs(moments: Moments, n_glyphs: int, layout: Layout, rng: np.random.Generator) -> First:
    """Examples where there are as many, else noise; the background is the median of all pixels."""
    if len(moments.elements):
        return First(moments.elements.T.copy(), float(moments.mean.mean()), moments.spread)
    rows = moments.examples
    if len(rows) < n_glyphs:
        return First(moments.dictionary(n_glyphs, rng), float(moments.mean.mean()), moments.spread)
    B = float(np.median(rows))
    shown = centered(rows - B, layout)
    counts = moments.counts if len(moments.counts) else np.ones(len(rows))
    chosen = spread_rows(shown / moments.spread, n_glyphs, rng, counts)
    return First((B + shown[chosen]).T, B, moments.spread)


def centered(rows: Floats, layout: Layout) -> Floats:
    """Rows (n, D), shifted as far as glyphs are so that the center of their squares lies in the middle of the patch."""
    squares, (row, column) = np.square(rows), np.divmod(np.arange(rows.shape[1]), layout.width)
    mass = np.maximum(squares.sum(axis=1), np.finfo(float).tiny)
    down = _steps(squares @ row / mass - row.mean(), -layout.down, layout.n_down)
    across = _steps(squares @ column / mass - column.mean(), -layout.across, layout.n_across)
    return shifted(rows, down, across, layout.width)


def shifted(rows: Floats, down: NDArray[np.int64], across: NDArray[np.int64], width: int) -> Floats:
    """(n, D) what lies `down` and `across` (n,) of each pixel of rows (n, D); 0 where that is off the patch."""
    row, column = np.divmod(np.arange(rows.shape[1]), width)
    i, j = row + down[:, None], column + across[:, None]
    place = i * width + j
    is_there = (i >= 0) & (j >= 0) & (j < width) & (place < rows.shape[1])
    return np.where(is_there, np.take_along_axis(rows, np.where(is_there, place, 0), axis=1), 0.0)


def _steps(distances: Floats, most: int, n_positions: int) -> NDArray[np.int64]:
    return np.clip(np.rint(distances), most - n_positions + 1, most).astype(np.int64)
