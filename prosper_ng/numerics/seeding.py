"""Rows that are far from each other, to start clusters from: greedy k-means++ (Arthur and Vassilvitskii 2007).

A row is drawn in proportion to its squared distance to the nearest row chosen before; of several draws that one is
taken which leaves the smallest sum of these distances. That costs R C D operations for each draw, so many rows are
first cut into cells around about sqrt(C) / 2 of them, and each cell gets so many seeds of its own as it has of the sum:
about 2.5 R sqrt(C) D operations.
"""

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.vectors import LANES, load, minus, padded, sum_of_lanes, times

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_DISTANCES = 1 << 30
"""Without cells."""
_FEW_DISTANCES = 1 << 28
"""So cheap that more draws are held against each other."""


def spread_rows(rows: Floats, n_seeds: int, rng: np.random.Generator, counts: Floats | None = None) -> Ints:
    """(n_seeds,) the places of rows of (R, D) that are far from each other.

    There must be as many rows; equal ones come again only where there are no others. `counts` (R,) say as how many rows
    each counts.
    """
    counts = np.ones(len(rows)) if counts is None else counts
    whole = np.zeros((len(rows), padded(rows.shape[1])))
    whole[:, : rows.shape[1]] = _turned(rows)
    table = np.ascontiguousarray(whole.reshape(len(rows), -1, LANES).swapaxes(0, 1))
    # Those of the paper, or three times as many where they are cheap, which saves restarts.
    n_trials = 2 + int(np.log(n_seeds))
    n_distances = n_trials * n_seeds * len(rows)
    if n_distances > _MOST_DISTANCES:
        return _seeds_in_cells(table, counts, n_seeds, n_trials, rng)
    n_trials = 3 * n_trials if 3 * n_distances <= _FEW_DISTANCES else n_trials
    return _seeds(table, counts, n_seeds, n_trials, rng)[0]


def _turned(rows: Floats) -> Floats:
    """Rows (R, D) at the same distances, most of which the first entries show."""
    centered = rows - rows.mean(axis=0)
    with np.errstate(all="ignore"):
        second = centered.T @ centered
    if not np.isfinite(second).all():
        return rows
    return np.asarray(centered @ scipy.linalg.eigh(second)[1][:, ::-1])


def _seeds(
    table: Floats, counts: Floats, n_seeds: int, n_trials: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Floats]:
    """Seeds (C,) among rows (P, R, LANES); for each of these which seed is nearest, and its squared distance."""
    chosen, nearest = np.empty(n_seeds, np.int64), np.empty(table.shape[1], np.int64)
    squares = np.empty(table.shape[1])
    _choose(table, counts, rng.random((n_seeds, n_trials)), chosen, nearest, squares)
    return chosen, nearest, squares


def _seeds_in_cells(
    table: Floats, counts: Floats, n_seeds: int, n_trials: int, rng: np.random.Generator
) -> Ints:  # fmt: skip
    """Seeds (C,), some in each of about sqrt(C) / 2 cells."""
    n_first = max(1, round(np.sqrt(n_seeds) / 2))
    _, cell, squares = _seeds(table, counts, n_first, n_trials, rng)
    n_cells = int(cell.max()) + 1
    shares: Floats = np.bincount(cell, counts * squares, n_cells).astype(np.float64)
    sizes = np.bincount(cell, minlength=n_cells).astype(np.int64)
    found = []
    for place, number in enumerate(_divided(n_seeds, shares, sizes)):
        own = np.flatnonzero(cell == place)
        if number:
            among = np.ascontiguousarray(table[:, own]), counts[own]
            found.append(own[_seeds(*among, int(number), n_trials, rng)[0]])
    return np.concatenate(found)


def _divided(number: int, shares: Floats, sizes: Ints) -> Ints:
    """(m,) whole numbers that sum to `number`, in proportion to shares where none is above its size."""
    wanted = number * (shares / shares.sum() if shares.sum() > 0 else sizes / sizes.sum())
    counts = np.minimum(wanted.astype(np.int64), sizes)
    while (left := number - int(counts.sum())) > 0:
        open_ = np.flatnonzero(counts < sizes)
        counts[open_[np.argsort((counts - wanted)[open_], kind="stable")[:left]]] += 1
    return counts


@inner_kernel(error_model="numpy")
def _square_below(pieces: Any, i: int, j: int, most: float) -> float:
    """The squared distance of two rows; `most` where it is not below that, which shows early for most rows."""
    total = 0.0
    for piece in range(pieces.shape[0]):
        difference = minus(load(pieces, piece, i), load(pieces, piece, j))
        total += sum_of_lanes(times(difference, difference))
        if total >= most:
            return most
    return total


@kernel(error_model="numpy")
def _choose(pieces: Any, counts: Any, draws: Any, chosen: Any, nearest: Any, squares: Any) -> None:
    """Fill seeds (C,), and for rows (R,) which is the nearest and its squared distance; rows are (P, R, LANES).

    A row that is half as far from its seed as this is from another one has no need to be held against that.
    """
    n_rows, n_seeds, n_trials = pieces.shape[1], chosen.shape[0], draws.shape[1]
    apart, best = np.empty(n_seeds), np.empty(n_seeds)
    sums = np.cumsum(counts)
    chosen[0] = min(np.searchsorted(sums, draws[0, 0] * sums[-1], side="right"), n_rows - 1)
    for n in range(n_rows):
        squares[n], nearest[n] = _square_below(pieces, n, chosen[0], np.inf), 0
    for c in range(1, n_seeds):
        sums, most = np.cumsum(counts * squares), -1.0
        for t in range(n_trials):
            if sums[-1] > 0.0:
                place = min(np.searchsorted(sums, draws[c, t] * sums[-1], side="right"), n_rows - 1)
            else:
                place = np.int64(draws[c, t] * n_rows)
            for before in range(c):
                apart[before] = 0.25 * _square_below(pieces, place, chosen[before], np.inf)
            gain = 0.0
            for n in range(n_rows):
                if apart[nearest[n]] < squares[n]:
                    gain += counts[n] * (squares[n] - _square_below(pieces, n, place, squares[n]))
            if gain > most:
                most, chosen[c] = gain, place
                best, apart = apart, best
        for n in range(n_rows):
            if best[nearest[n]] < squares[n]:
                square = _square_below(pieces, n, chosen[c], squares[n])
                if square < squares[n]:
                    squares[n], nearest[n] = square, c
