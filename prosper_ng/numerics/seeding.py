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

from prosper_ng.kernels import kernel
from prosper_ng.numerics.settling import settled, square_below
from prosper_ng.numerics.vectors import LANES, padded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_DISTANCES = 1 << 30
"""Without cells."""
_FEW_DISTANCES = 1 << 28
"""So cheap that more draws are held against each other."""
_SETTLING = 512, 1 << 14
"""From how many centers on, and to how many, they are improved by sweeps."""
_TRIALS = 3
"""Draws of which one is taken, where sweeps follow."""


def spread_rows(rows: Floats, n_seeds: int, rng: np.random.Generator, counts: Floats | None = None) -> Ints:
    """(n_seeds,) the places of rows of (R, D) that are far from each other.

    There must be as many rows; equal ones come again only where there are no others. `counts` (R,) say as how many rows
    each counts.
    """
    counts = np.ones(len(rows)) if counts is None else counts
    table = _pieces(rows @ _turn(rows))
    # Those of the paper, or three times as many where they are cheap, which saves restarts.
    n_trials = 2 + int(np.log(n_seeds))
    n_distances = n_trials * n_seeds * len(rows)
    if n_distances > _MOST_DISTANCES:
        return _seeds_in_cells(table, counts, n_seeds, n_trials, rng)[0]
    n_trials = 3 * n_trials if 3 * n_distances <= _FEW_DISTANCES else n_trials
    return _seeds(table, counts, n_seeds, n_trials, rng)[0]


def spread_centers(rows: Floats, n_centers: int, rng: np.random.Generator, counts: Floats | None = None) -> Floats:
    """(n_centers, D) what rows of (R, D) that are far from each other settle to as centers, where it `settles`."""
    counts, turn = np.ones(len(rows)) if counts is None else counts, _turn(rows)
    table = _pieces(rows @ turn)
    seeds, nearest = _seeds_in_cells(table, counts, n_centers, _TRIALS, rng)
    centers = settled(table, counts, np.ascontiguousarray(table[:, seeds]), nearest, rng)
    return np.asarray(centers.swapaxes(0, 1).reshape(n_centers, -1)[:, : rows.shape[1]] @ turn.T)


def settles(n_centers: int) -> bool:
    """Whether so many are improved by sweeps: fewer start well without, and for more all of them are not compared."""
    return _SETTLING[0] <= n_centers <= _SETTLING[1]


def _turn(rows: Floats) -> Floats:
    """(D, D) a rotation after which the first entries of rows (R, D) show most of their distances."""
    centered = rows - rows.mean(axis=0)
    with np.errstate(all="ignore"):
        second = centered.T @ centered
    if not np.isfinite(second).all():
        return np.eye(rows.shape[1])
    return np.asarray(scipy.linalg.eigh(second)[1][:, ::-1])


def _pieces(rows: Floats) -> Floats:
    """Rows (R, D) in pieces (P, R, LANES)."""
    table = np.zeros((padded(rows.shape[1]) // LANES, len(rows), LANES))
    for piece, own in enumerate(table):
        part = rows[:, piece * LANES : (piece + 1) * LANES]
        own[:, : part.shape[1]] = part
    return table


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
) -> tuple[Ints, Ints]:
    """Seeds (C,), some in each of about sqrt(C) / 2 cells; for each row which seed of its own cell is nearest."""
    n_first = max(1, round(np.sqrt(n_seeds) / 2))
    _, cell, squares = _seeds(table, counts, n_first, n_trials, rng)
    n_cells = int(cell.max()) + 1
    shares: Floats = np.bincount(cell, counts * squares, n_cells).astype(np.float64)
    sizes = np.bincount(cell, minlength=n_cells).astype(np.int64)
    numbers = _divided(n_seeds, shares, sizes)
    # Rows of cells without a seed are led to any, for whoever looks further.
    found, nearest, n_found = [], np.zeros(len(cell), np.int64), 0
    for place in np.flatnonzero(numbers):
        own = np.flatnonzero(cell == place)
        chosen, near, _ = _seeds(np.ascontiguousarray(table[:, own]), counts[own], int(numbers[place]), n_trials, rng)
        nearest[own], n_found = near + n_found, n_found + len(chosen)
        found.append(own[chosen])
    return np.concatenate(found), nearest


def _divided(number: int, shares: Floats, sizes: Ints) -> Ints:
    """(m,) whole numbers that sum to `number`, in proportion to shares where none is above its size."""
    wanted = number * (shares / shares.sum() if shares.sum() > 0 else sizes / sizes.sum())
    counts = np.minimum(wanted.astype(np.int64), sizes)
    while (left := number - int(counts.sum())) > 0:
        open_ = np.flatnonzero(counts < sizes)
        counts[open_[np.argsort((counts - wanted)[open_], kind="stable")[:left]]] += 1
    return counts


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
        squares[n], nearest[n] = square_below(pieces, n, pieces, chosen[0], np.inf), 0
    for c in range(1, n_seeds):
        sums, most = np.cumsum(counts * squares), -1.0
        for t in range(n_trials):
            if sums[-1] > 0.0:
                place = min(np.searchsorted(sums, draws[c, t] * sums[-1], side="right"), n_rows - 1)
            else:
                place = np.int64(draws[c, t] * n_rows)
            for before in range(c):
                apart[before] = 0.25 * square_below(pieces, place, pieces, chosen[before], np.inf)
            gain = 0.0
            for n in range(n_rows):
                if apart[nearest[n]] < squares[n]:
                    gain += counts[n] * (squares[n] - square_below(pieces, n, pieces, place, squares[n]))
            if gain > most:
                most, chosen[c] = gain, place
                best, apart = apart, best
        for n in range(n_rows):
            if best[nearest[n]] < squares[n]:
                square = square_below(pieces, n, pieces, chosen[c], squares[n])
                if square < squares[n]:
                    squares[n], nearest[n] = square, c
