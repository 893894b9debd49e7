"""Centers of rows, improved by sweeps of k-means in which useless ones move to where they are needed.

A row is held against those centers alone that are near to its own one, in order, until one is so far that no better
can follow. After each sweep centers whose rows could do nearly as well without are put where two do better than one
(split and merge: Kaukoranta, Fränti and Nevalainen 1998; Fritzke, arXiv 2006.15666), since k-means ends where it began
else. Rows and centers are turned so that distances show early, and lie in pieces (P, R, LANES).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.extremes import fill_largest
from prosper_ng.numerics.vectors import LANES, all_lanes, load, minus, plus_product, store, sum_of_lanes, times

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NEAR = 64
_ROWS = 256
"""Centers that are held against all others at a time."""
_MOST_SWEEPS, _LAST_SWEEPS = 16, 2
"""With centers that move, at most, and without."""
_WORTH = 2e-3
"""What a sweep has to take off the error, in parts of it, to be followed by another."""
_SHOWN = 0.95
"""The part of the variance by which centers are near: what is left of their distances is mostly noise of few rows."""


class Looked(NamedTuple):
    """What is known of rows."""

    nearest: Ints
    """(R,) the center of each row."""
    squares: Floats
    """(R,) its squared distance."""
    second: Ints
    """(R,) the second nearest."""
    second_squares: Floats
    """(R,) its squared distance; infinite where there is none."""


def settled(rows: Floats, counts: Floats, centers: Floats, nearest: Ints, rng: np.random.Generator) -> Floats:
    """Centers (P, C, LANES) of rows (P, R, LANES), each of which counts as `counts` (R,) rows.

    `nearest` (R,) is a guess of the center of each row. The error is not always smaller, but after some sweeps it is.
    """
    n_rows, centers = rows.shape[1], centers.copy()
    looked = Looked(nearest.copy(), np.empty(n_rows), nearest.copy(), np.empty(n_rows))
    n_pieces, before = _telling(rows), np.inf
    for _ in range(_MOST_SWEEPS):
        near = _sweep(rows, counts, centers, n_pieces, looked)
        error = float(counts @ looked.squares)
        if not error < (1 - _WORTH) * before:
            break
        _swap(rows, counts, centers, near, looked, np.asarray(rng.random(centers.shape[1])))
        before = error
    for _ in range(_LAST_SWEEPS):
        _sweep(rows, counts, centers, n_pieces, looked)
    return centers


def _sweep(rows: Floats, counts: Floats, centers: Floats, n_pieces: int, looked: Looked) -> Ints:
    """One of k-means; the centers that were near to each (C, G)."""
    near, gaps = _near(centers, n_pieces)
    look(rows, centers, near, gaps, *looked)
    move(rows, counts, looked.nearest, centers)
    return near


def _telling(rows: Floats) -> int:
    """How many of the first pieces hold most of the variance."""
    shares = np.cumsum([np.square(piece).sum() for piece in rows])
    return int(np.searchsorted(shares, _SHOWN * shares[-1])) + 1


def _near(centers: Floats, n_pieces: int) -> tuple[Ints, Floats]:
    """(C, G) centers that are near to each, in order, and their distances."""
    n_centers = centers.shape[1]
    first = np.ascontiguousarray(centers[:n_pieces].swapaxes(0, 1).reshape(n_centers, -1))
    near = np.zeros((n_centers, min(_NEAR, n_centers)), np.int64)
    gaps, norms = np.empty(near.shape), np.square(first).sum(axis=1)
    for start in range(0, n_centers, _ROWS):
        fill_largest(2 * first[start : start + _ROWS] @ first.T - norms, near[start : start + _ROWS])
    put_in_order(centers, near, gaps)
    return near, gaps


def _swap(rows: Floats, counts: Floats, centers: Floats, near: Ints, looked: Looked, draws: Floats) -> None:
    """Put centers that are of least use where a second one is of more; their rows go to those second to them.

    No two that are near to each other are taken away at a time.
    """
    n_centers = centers.shape[1]
    members = np.argsort(looked.nearest, kind="stable")
    starts = np.searchsorted(looked.nearest[members], np.arange(n_centers + 1))
    one, other, gains = np.empty(centers.shape), np.empty(centers.shape), np.empty(n_centers)
    split(rows, counts, members, starts, looked.squares, centers, draws, one, other, gains)
    losses = np.bincount(looked.nearest, counts * (looked.second_squares - looked.squares), n_centers)
    is_kept, is_free = np.zeros(n_centers, np.bool_), np.zeros(n_centers, np.bool_)
    places = iter(np.argsort(-gains, kind="stable"))
    for c in np.argsort(losses, kind="stable"):
        if is_kept[c]:
            continue
        place = next((each for each in places if not is_free[each] and each != c), None)
        if place is None or not losses[c] < gains[place]:
            break
        is_free[c] = is_kept[place] = True
        is_kept[near[c, :2]] = True
        is_kept[looked.second[members[starts[c] : starts[c + 1]]]] = True
        centers[:, c], centers[:, place] = other[:, place], one[:, place]
    moves = is_free[looked.nearest]
    looked.nearest[moves] = looked.second[moves]


@inner_kernel(error_model="numpy")
def square_below(rows: Any, n: int, centers: Any, c: int, most: float) -> float:
    """The squared distance of a row and a center; `most` where it is not below that, which mostly shows early."""
    total = 0.0
    for piece in range(rows.shape[0]):
        difference = minus(load(rows, piece, n), load(centers, piece, c))
        total += sum_of_lanes(times(difference, difference))
        if total >= most:
            return most
    return total


@kernel(error_model="numpy")
def put_in_order(centers: Any, near: Any, gaps: Any) -> None:
    """Fill the distances (C, G) of centers and those near to them, and sort both by these."""
    for c in range(near.shape[0]):
        for g in range(near.shape[1]):
            value, gap, place = near[c, g], np.sqrt(square_below(centers, c, centers, near[c, g], np.inf)), g
            while place > 0 and gaps[c, place - 1] > gap:
                gaps[c, place], near[c, place] = gaps[c, place - 1], near[c, place - 1]
                place -= 1
            gaps[c, place], near[c, place] = gap, value


@kernel(error_model="numpy")
def look(
    rows: Any, centers: Any, near: Any, gaps: Any, nearest: Any, squares: Any, second: Any, second_squares: Any
) -> None:  # fmt: skip
    """Find the two nearest centers of rows (P, R, LANES) among those near to the ones that were nearest before."""
    for n in range(rows.shape[1]):
        own = nearest[n]
        best, next_best = square_below(rows, n, centers, own, np.inf), np.inf
        reach, found, other = np.sqrt(best), own, own
        for g in range(near.shape[1]):
            c = near[own, g]
            if c == own:
                continue
            least = gaps[own, g] - reach
            if least > 0.0 and least * least >= next_best:
                break
            square = square_below(rows, n, centers, c, next_best)
            if square < best:
                found, other, best, next_best = c, found, square, best
            elif square < next_best:
                other, next_best = c, square
        nearest[n], squares[n], second[n], second_squares[n] = found, best, other, next_best


@kernel(error_model="numpy")
def move(rows: Any, counts: Any, nearest: Any, centers: Any) -> None:
    """Put centers (P, C, LANES) at the means of their rows; those without stay."""
    sums, sizes = np.zeros(centers.shape), np.zeros(centers.shape[1])
    for n in range(rows.shape[1]):
        sizes[nearest[n]] += counts[n]
    for piece in range(rows.shape[0]):
        for n in range(rows.shape[1]):
            c, count = nearest[n], all_lanes(counts[n])
            store(sums, piece, c, plus_product(load(sums, piece, c), count, load(rows, piece, n)))
        for c in range(centers.shape[1]):
            if sizes[c] > 0.0:
                centers[piece, c] = sums[piece, c] / sizes[c]


@kernel(error_model="numpy")
def split(
    rows: Any, counts: Any, members: Any, starts: Any, squares: Any, centers: Any, draws: Any,
    one: Any, other: Any, gains: Any,
) -> None:  # fmt: skip
    """Fill two centers for each of (P, C, LANES), by three sweeps of 2-means, and what they take off the error.

    The second starts at a row that is drawn in proportion to its squared distance. Rows `members` are by centers.
    """
    n_pieces = rows.shape[0]
    sums, sizes = np.empty((2, n_pieces, LANES)), np.empty(2)
    for c in range(centers.shape[1]):
        own, gains[c], whole = members[starts[c] : starts[c + 1]], 0.0, 0.0
        for n in own:
            whole += counts[n] * squares[n]
        if len(own) < 2 or not whole > 0.0:
            continue
        place, passed = 0, counts[own[0]] * squares[own[0]]
        while passed <= draws[c] * whole and place + 1 < len(own):
            place += 1
            passed += counts[own[place]] * squares[own[place]]
        for piece in range(n_pieces):
            one[piece, c], other[piece, c] = centers[piece, c], rows[piece, own[place]]
        for turn in range(3):
            left = 0.0
            sums[:], sizes[:] = 0.0, 0.0
            for n in own:
                square = squares[n] if turn == 0 else square_below(rows, n, one, c, np.inf)
                to_other = square_below(rows, n, other, c, square)
                side = 1 if to_other < square else 0
                left += counts[n] * to_other
                sizes[side] += counts[n]
                for piece in range(n_pieces):
                    total = plus_product(load(sums, side, piece), all_lanes(counts[n]), load(rows, piece, n))
                    store(sums, side, piece, total)
            gains[c] = whole - left
            if turn < 2 and sizes[0] > 0.0 and sizes[1] > 0.0:
                for piece in range(n_pieces):
                    one[piece, c], other[piece, c] = sums[0, piece] / sizes[0], sums[1, piece] / sizes[1]
