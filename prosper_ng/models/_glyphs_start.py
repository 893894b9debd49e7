"""What glyphs start from: patches that together explain most of the others, with what they show in the middle."""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models._glyphs import Layout
from prosper_ng.models.interface import SMALLEST_SCALE, Floats, Moments

_MEDIAN_OF_NORMAL = 0.6745
"""The median distance from the mean, in standard deviations."""
_FAR = 4.0
_LEAST_NOISE, _LEAST_OTHER = 0.1, 0.5
"""Of the standard deviation of the data."""


class First(NamedTuple):
    """The glyphs (D, C), and the means, standard deviations and shares (K,) of the background."""

    W: Floats
    B: Floats
    sigma: Floats
    rho: Floats


def first_glyphs(
    moments: Moments, n_glyphs: int, n_background: int, layout: Layout, rng: np.random.Generator
) -> First:  # fmt: skip
    """Examples where there are as many, else noise."""
    rows = moments.examples
    background = _background(rows if len(rows) else moments.mean, moments.spread, n_background)
    if len(moments.elements) or len(rows) < n_glyphs:
        return First(moments.dictionary(n_glyphs, rng), *background)
    paper = background[0][0]
    chosen = typical(rows - paper, n_glyphs, layout)
    return First((paper + centered(rows[chosen] - paper, layout)).T, *background)


def typical(rows: Floats, n_chosen: int, layout: Layout) -> NDArray[np.int64]:
    """(n_chosen,) the places of rows of (n, D) that together explain most of all, one after the other.

    What row i explains of row j is the largest 2 y_j z_i - |z_i|² over all positions of it, z_i, and 0. So what shows
    often comes first, and what shows once, as dirt does, comes last; others in the same patch are no part of it.
    """
    squares = np.sum(np.square(rows), axis=1)
    explains = np.zeros((len(rows), len(rows)))
    for down, across in product(range(layout.n_down), range(layout.n_across)):
        every = np.ones(len(rows), np.int64)
        z = shifted(rows, -(layout.down + down) * every, -(layout.across + across) * every, layout.width)
        np.maximum(explains, 2 * z @ rows.T - np.sum(np.square(z), axis=1)[:, None], out=explains)
    explains /= np.maximum(squares + squares.mean(), np.finfo(float).tiny)
    best = np.zeros(len(rows))
    chosen: list[int] = []
    for _ in range(n_chosen):
        gains = np.maximum(explains - best, 0.0).sum(axis=1)
        gains[chosen] = -1.0
        chosen.append(int(np.argmax(gains)))
        best = np.maximum(best, explains[chosen[-1]])
    return np.array(chosen)


def _background(pixels: Floats, spread: float, n_kinds: int) -> tuple[Floats, Floats, Floats]:
    """What is near the median, and then what is not, cut into equally frequent kinds."""
    median = np.median(pixels)
    if n_kinds == 1:
        return np.array([median]), np.array([spread]), np.ones(1)
    distances = np.abs(pixels - median)
    noise = max(float(np.median(distances)) / _MEDIAN_OF_NORMAL, _LEAST_NOISE * spread)
    others = np.sort(pixels[distances > _FAR * noise])
    parts = np.array_split(others, n_kinds - 1) if len(others) >= n_kinds else [median - spread] * (n_kinds - 1)
    B = np.array([median, *(np.mean(part) for part in parts)])
    sigma = np.array([noise, *(max(float(np.std(part)), _LEAST_OTHER * spread) for part in parts)])
    share = min(max(len(others) / pixels.size, 0.01), 0.5)
    return B, np.maximum(sigma, SMALLEST_SCALE), np.array([1 - share, *[share / (n_kinds - 1)] * (n_kinds - 1)])


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
