"""What mixtures start from: rows of the data that are far from each other."""

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models.interface import Floats, Moments
from prosper_ng.numerics.constraints import Interval
from prosper_ng.numerics.seeding import settles, spread_centers, spread_rows

Ints = NDArray[np.int64]

NONE: Ints = np.empty(0, np.int64)

_PER_COMPONENT, _TO_SETTLE = 60, 200
"""Rows that are looked at for each component, as long as these are not too many; and where centers settle."""
_FEW, _MANY = 20_000, 200_000
"""As many are looked at even if components are few; more only for the sake of `_LEAST` for each component."""
_LEAST = 10
_MEASURED = 1000
"""Rows by which it is measured how near the first components are."""
_LEAST_NOISE = 0.01
"""Of the standard deviation of the data."""


def n_examples(n_components: int, n_rows: int) -> int:
    """Rows to choose the first components from."""
    each = _TO_SETTLE if settles(n_components) else _PER_COMPONENT
    wanted = min(max(each * n_components, _FEW), _MANY)
    return min(n_rows, max(wanted, _LEAST * n_components))


def first_components(
    moments: Moments,
    n_components: int,
    mean: Interval,
    own_units: bool,
    rng: np.random.Generator,
    first: Ints = NONE,
) -> tuple[Floats, Floats]:
    """Means (C, D), and (D,) what rows differ from the nearest of them, squared.

    Rows with labels at the places `first` are the first of them.

    Distances are in units of each column where these are its own. Means that may not be all numbers lie half-way
    between a row and the mean of the data: a count of 0, or an entry that is off, is no mean to start from.
    """
    spreads = moments.spreads if own_units else np.full(len(moments.mean), moments.spread)
    rows = moments.examples if len(moments.examples) else _noise(moments, spreads, 2 * n_components, rng)
    counts = moments.counts if len(moments.counts) else np.ones(len(rows))
    n_others = n_components - len(first)
    scaled = (rows - moments.mean) / spreads
    if len(moments.elements):
        W = moments.elements
    else:
        n_own = min(n_others, len(rows))
        if settles(n_own):
            own = moments.mean + spreads * spread_centers(scaled, n_own, rng, counts)
        else:
            own = rows[spread_rows(scaled, n_own, rng, counts) if n_own else NONE]
        more = _noise(moments, spreads, n_others - n_own, rng)
        W = np.concatenate([moments.labeled[first] if len(first) else rows[:0], own, more])
    left = _left_by(scaled[:_MEASURED], counts[:_MEASURED], (W - moments.mean) / spreads)
    squares = left * np.square(spreads)
    if np.isfinite(mean.low):
        W = np.clip(0.5 * (W + moments.mean), mean.low, mean.high)
    return W, squares


def first_with_labels(moments: Moments, n_components: int, own_units: bool, rng: np.random.Generator) -> Ints:
    """The places of rows with labels to start from, of each class some that are far from each other.

    All of them where there are fewer than components; else as many of a class as it has of the labels, at least one.
    """
    if len(moments.labels) == 0 or len(moments.elements):
        return NONE
    sizes = np.bincount(moments.labels)
    wanted = np.minimum(sizes, np.maximum(1, np.floor(n_components * sizes / sizes.sum()))).astype(np.int64)
    while wanted.sum() < min(n_components, sizes.sum()):
        wanted[np.argmax(np.where(wanted < sizes, sizes / (wanted + 1), -1.0))] += 1
    scaled = (moments.labeled - moments.mean) / (moments.spreads if own_units else moments.spread)
    found = []
    for label in np.flatnonzero(wanted):
        own = np.flatnonzero(moments.labels == label)
        found.append(own[spread_rows(scaled[own], int(wanted[label]), rng)])
    return np.concatenate(found)[:n_components]


def _noise(moments: Moments, spreads: Floats, n_rows: int, rng: np.random.Generator) -> Floats:
    return moments.mean + spreads * rng.standard_normal((n_rows, len(moments.mean)))


def _left_by(rows: Floats, counts: Floats, means: Floats) -> Floats:
    """(D,) the mean square of what rows differ from the nearest of the means by; never nothing."""
    norms = np.sum(np.square(means), axis=1)
    nearest = np.argmin(norms - 2 * rows @ means.T, axis=1)
    squares = np.average(np.square(rows - means[nearest]), axis=0, weights=counts)
    return np.asarray(np.maximum(squares, _LEAST_NOISE**2))
