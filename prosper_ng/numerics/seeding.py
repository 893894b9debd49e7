"""Rows that are far from each other, to start clusters from: greedy k-means++ (Arthur and Vassilvitskii 2007).

A row is drawn in proportion to its squared distance to the nearest row chosen before; of several draws that one is
taken which leaves the smallest sum of these distances. That costs R C D operations for each draw, so many rows are
first cut into cells around about sqrt(C) of them, and each cell gets so many seeds of its own as it has of the sum:
about R sqrt(C) D operations.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.vectors import LANES, all_lanes, load, minus, padded, plus_product, sum_of_lanes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_DISTANCES = 1 << 32
"""Without cells."""
_STRETCH = 32
"""Entries after which a distance is looked at."""


def spread_rows(rows: Floats, n_seeds: int, rng: np.random.Generator) -> Ints:
    """(n_seeds,) the places of rows of (R, D) that are far from each other.

    Rows come again only where there are no others that differ from those chosen.
    """
    table = np.zeros((len(rows), padded(rows.shape[1])))
    table[:, : rows.shape[1]] = rows
    if n_seeds * len(rows) * _n_trials(n_seeds) <= _MOST_DISTANCES:
        return _seeds(table, n_seeds, rng)[0]
    return _seeds_in_cells(table, n_seeds, rng)


def _n_trials(n_seeds: int) -> int:
    return 2 + int(np.log(n_seeds))


def _seeds(table: Floats, n_seeds: int, rng: np.random.Generator) -> tuple[Ints, Ints, Floats]:
    """Seeds (C,); for each row (R,) the place of the nearest among them, and its squared distance."""
    chosen, nearest = np.empty(n_seeds, np.int64), np.empty(len(table), np.int64)
    squares = np.full(len(table), np.inf)
    draws = rng.random((n_seeds, _n_trials(n_seeds)))
    _choose(table, draws, chosen, nearest, squares)
    return chosen, nearest, squares


def _seeds_in_cells(table: Floats, n_seeds: int, rng: np.random.Generator) -> Ints:
    """Seeds (C,), some in each of about sqrt(C) cells."""
    _, cell, squares = _seeds(table, round(np.sqrt(n_seeds)), rng)
    n_cells = int(cell.max()) + 1
    shares: Floats = np.bincount(cell, squares, n_cells).astype(np.float64)
    sizes = np.bincount(cell, minlength=n_cells)
    numbers = _divided(n_seeds, shares, sizes)
    found = []
    for place, number in enumerate(numbers):
        own = np.flatnonzero(cell == place)
        if number:
            found.append(own[_seeds(table[own], int(number), rng)[0]])
    return np.concatenate(found)


def _divided(number: int, shares: Floats, most: Any) -> Ints:
    """(m,) whole numbers that sum to `number`, in proportion to shares, none above what is there most, if possible."""
    total = shares.sum()
    wanted = number * (shares / total if total > 0 else most / most.sum())
    counts = np.minimum(np.maximum(wanted.astype(np.int64), 1), most)
    while (left := number - counts.sum()) != 0:
        lack = wanted - counts
        if left > 0:
            open_ = np.flatnonzero(counts < most)
            if len(open_) == 0:
                counts[np.argmax(most)] += left
                break
            counts[open_[np.argsort(-lack[open_], kind="stable")[:left]]] += 1
        else:
            counts[np.argsort(lack + (counts == 0) * 2.0 * number, kind="stable")[:-left]] -= 1
    return counts


@inner_kernel(error_model="numpy")
def _square_below(table: Any, i: int, j: int, most: float) -> float:
    """The squared distance of two rows; `most` where it is not below that, which shows early for most rows."""
    total, width = 0.0, table.shape[1]
    for start in range(0, width, _STRETCH):
        sums = all_lanes(0.0)
        for d in range(start, min(start + _STRETCH, width), LANES):
            difference = minus(load(table, i, d), load(table, j, d))
            sums = plus_product(sums, difference, difference)
        total += sum_of_lanes(sums)
        if total >= most:
            return most
    return total


@kernel(error_model="numpy")
def _choose(table: Any, draws: Any, chosen: Any, nearest: Any, squares: Any) -> None:
    n_rows, n_trials = table.shape[0], draws.shape[1]
    tried, places, totals = np.empty((n_rows, n_trials)), np.empty(n_trials, np.int64), np.empty(n_trials)
    for c in range(chosen.shape[0]):
        sums = np.cumsum(squares)
        is_open = c > 0 and sums[-1] > 0.0
        for t in range(n_trials):
            if is_open:
                places[t] = min(np.searchsorted(sums, draws[c, t] * sums[-1], side="right"), n_rows - 1)
            else:
                places[t] = np.int64(draws[c, t] * n_rows)
        n_tried = n_trials if is_open else 1
        totals[:] = 0.0
        for n in range(n_rows):
            for t in range(n_tried):
                tried[n, t] = _square_below(table, n, places[t], squares[n])
                totals[t] += tried[n, t]
        best = np.argmin(totals[:n_tried])
        chosen[c] = places[best]
        for n in range(n_rows):
            if tried[n, best] < squares[n]:
                squares[n], nearest[n] = tried[n, best], c
