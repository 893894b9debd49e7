"""What the rows and columns of the data hold: counted over all ranks before anything is learned from them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.data.dataset import Columns
from prosper_ng.data.magnitudes import SMALLEST, in_precision
from prosper_ng.errors import UserError
from prosper_ng.models.capabilities import WantsExamples, offers
from prosper_ng.models.interface import Model, Moments
from prosper_ng.models.roles import of_role
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.selection import Foremost
from prosper_ng.training.em import Problem

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHOWN = 3
"""Rows or columns that are named before the others are counted."""


class Census(NamedTuple):
    """What was counted; the same on all ranks, and to the last bit on any number of them."""

    moments: Moments
    n_observed: Floats
    """(D,) how many values of each column were observed."""
    low: Floats
    """(D,) the smallest value of each column, inf where none was observed."""
    high: Floats
    """(D,) the largest, -inf where none was observed."""
    n_empty: int
    """Rows without any observed value."""
    first_empty: tuple[int, ...]
    """The first of them."""
    n_negative: int
    """Rows with values below 0; counted only for models whose dictionary is not negative."""
    negative_energy: float
    """The share of these values in the sum of squares of all."""

    @property
    def never_observed(self) -> Columns:
        """The columns of which no value was observed."""
        return np.flatnonzero(self.n_observed == 0)

    @property
    def constant(self) -> Columns:
        """The columns in which all observed values are the same."""
        return np.flatnonzero(self.low == self.high)

    @property
    def spread(self) -> Floats:
        """(D,) the standard deviation of each column, 0 only where it is constant or was never observed."""
        varies = self.high > self.low
        half = 0.5 * (np.where(varies, self.high, 0.0) - np.where(varies, self.low, 0.0))
        deviation = np.sqrt(self.moments.variance)
        return np.where(varies, np.where(deviation > 0, deviation, half), 0.0)  # tiny squares are 0


def take_census(problem: Problem) -> Census:
    """Pass twice over the rows that are learned from; all ranks call it together.

    Rows of weight 0 are none of these; moments are those of rows that come as often as they count.
    Raises UserError on all ranks where no value was observed, or where those of a column with a noise of its own are so
    small that their squares vanish.
    """
    counts, comm = _Counts(problem), problem.comm
    for rows, values, weights in _owned(problem):
        counts.add(rows, values, weights)
    total = counts.reduce()
    _refuse_impossible(problem, total)
    masses = np.where(total.masses > 0, total.masses, 1.0)
    mean = total.sums / masses
    variance = _squares(problem, mean) / masses
    energy = float(np.sum(total.masses * (variance + mean**2)))
    moments = with_examples(problem, Moments(total.n_rows, mean, variance))
    first_empty = comm.broadcast(_first(comm.gather(counts.first_empty))) if total.n_empty else ()
    return Census(
        moments, total.n_observed, total.low, total.high, total.n_empty, first_empty, total.n_negative,
        total.negative_squares / energy if energy > 0 else 0.0,
    )  # fmt: skip


class _Total(NamedTuple):
    """What the first pass counts, over all ranks."""

    sums: Floats
    masses: Floats
    """(D,) as how many the observed values of each column count."""
    n_observed: Floats
    low: Floats
    high: Floats
    negative_squares: float
    n_empty: int
    n_negative: int
    n_rows: int


class _Counts:
    """The first pass over the rows of a rank."""

    def __init__(self, problem: Problem) -> None:
        D = problem.n_observed
        self._comm, self._total = problem.comm, ExactSum([1] * (3 * D + 1))
        self._counts_negative = has_no_negative_elements(problem.model, D)
        self._buffer = np.empty(3 * D + 1)
        self._extremes = np.full((2, D), -np.inf)  # minus the smallest, and the largest
        self._n_empty = self._n_negative = self._n_rows = 0
        self.first_empty: list[int] = []

    def add(self, rows: Ints, values: Floats, weights: Floats | None) -> None:
        """Count rows (n,) of values (n, D), with weights (n,)."""
        D, low, high = values.shape[1], values.min(axis=0), values.max(axis=0)
        weighed, n_observed = values if weights is None else weights[:, None] * values, np.full(D, len(values))
        sums, masses = weighed.sum(axis=0), n_observed if weights is None else np.full(D, weights.sum())
        if np.isnan(sums).any():
            missing = np.isnan(values)
            sums, n_observed = np.where(missing, 0.0, weighed).sum(axis=0), np.count_nonzero(~missing, axis=0)
            masses = n_observed if weights is None else np.where(missing, 0.0, weights[:, None]).sum(axis=0)
            low, high = np.where(missing, np.inf, values).min(axis=0), np.where(missing, -np.inf, values).max(axis=0)
            self._count_empty(rows, np.flatnonzero(missing.all(axis=1)))
        self._buffer[:-1], self._buffer[-1] = np.concatenate([sums, masses, n_observed]), 0.0
        if self._counts_negative and low.min() < 0:
            self._count_negative(values, weights)
        self._n_rows += len(values)
        self._total.add(self._buffer)
        np.maximum(self._extremes, [-low, high], out=self._extremes)

    def _count_empty(self, rows: Ints, empty: NDArray[np.intp]) -> None:
        self._n_empty += len(empty)
        if len(self.first_empty) < SHOWN:
            self.first_empty += [int(row) for row in rows[empty[:SHOWN]]]

    def _count_negative(self, values: Floats, weights: Floats | None) -> None:
        below = np.fmin(values, 0.0)
        self._n_negative += int(np.count_nonzero((below < 0).any(axis=1)))
        squares = below * below
        self._buffer[-1] = np.sum(squares if weights is None else weights[:, None] * squares)

    def reduce(self) -> _Total:
        """The counts of all ranks."""
        D = self._extremes.shape[1]
        extras = np.array([self._n_empty, self._n_negative, self._n_rows], np.float64)
        summed, counts = self._total.reduce(self._comm, extras)
        self._comm.max_in_place(self._extremes)
        low, high = -self._extremes[0], self._extremes[1]
        sums, masses, n_observed = summed[:-1].reshape(3, D)
        return _Total(sums, masses, n_observed, low, high, float(summed[-1]), *map(int, counts))


def has_no_negative_elements(model: Model, n_observed: int) -> bool:
    """Whether the model has a dictionary, whose entries are 0 or more."""
    specs = model.parameters(n_observed)
    name = of_role(specs, "dictionary")
    return name is not None and specs[name].constraint.low >= 0


def equal_columns(problem: Problem, census: Census) -> Columns:
    """The columns that repeat one before them, value by value, and are not constant; all ranks call it together.

    Only columns of the same moments and extremes are compared, so in most data no row is read for it.
    """
    moments = (census.moments.mean, census.moments.variance)
    marks = np.stack([census.n_observed, *moments, census.low, census.high], axis=1)
    _, first, group = np.unique(marks, axis=0, return_index=True, return_inverse=True)
    original = first[group.ravel()]
    later = np.flatnonzero((original != np.arange(len(original))) & (census.high > census.low))
    if len(later) == 0:
        return later
    differs = np.zeros(len(later), np.int64)
    for _, values, _ in _owned(problem):
        mine, others = values[:, later], values[:, original[later]]
        differs |= ((mine != others) & ~(np.isnan(mine) & np.isnan(others))).any(axis=0)
    problem.comm.max_in_place(differs)
    return later[differs == 0]


def with_examples(problem: Problem, moments: Moments) -> Moments:
    """With different rows at random, as many as the model asks for, drawn by the seed, and with as many that have
    labels; all ranks call it together.

    What they miss is at its mean.
    """
    model: Any = problem.model
    wanted = int(model.n_examples(moments.n_rows)) if offers(model, WantsExamples) else 0
    numbers, counts = drawn_numbers(problem, wanted, problem.seed, "example rows")
    moments = moments._replace(examples=rows_of_numbers(problem, moments.mean, numbers), counts=counts)
    if problem.labels is None or wanted == 0:
        return moments
    numbers, labels = _drawn_with_labels(problem, wanted)
    return moments._replace(labeled=rows_of_numbers(problem, moments.mean, numbers), labels=labels)


def _drawn_with_labels(problem: Problem, wanted: int) -> tuple[Ints, Ints]:
    """The numbers of different rows at random whose class is known, `wanted` or all of them, and their classes."""
    draws, foremost = stream(problem.seed, "rows with labels"), Foremost(wanted)
    for rows, _, _ in _owned(problem):
        assert problem.labels is not None
        labels = problem.labels[rows - problem.first_row]
        foremost.add(draws.uniform(rows)[labels >= 0], rows[labels >= 0], labels[labels >= 0])
    drawn, _ = foremost.of_all(problem.comm)
    numbers, labels = drawn.reshape(-1, 3)[:, 1:].T.astype(np.int64)
    return numbers, labels


def drawn_numbers(problem: Problem, wanted: int, seed: int, purpose: str) -> tuple[Ints, Floats]:
    """The numbers of different rows at random that are learned from, `wanted` of them, or as many as there are.

    Rows of larger weights are likelier to be taken; then also as how many rows each of those taken counts.
    """
    if problem.weights is not None:
        return _drawn_by_weight(problem, wanted, seed, purpose)
    n_rows, held_out = problem.n_learned_from, problem.held_out
    drawn = stream(seed, purpose).generator().choice(n_rows, min(max(wanted, 0), n_rows), replace=False)
    if held_out is not None:
        drawn = np.flatnonzero(~held_out.among(np.arange(problem.blocks.n_rows)))[drawn]
    return drawn, np.empty(0)


def _drawn_by_weight(problem: Problem, wanted: int, seed: int, purpose: str) -> tuple[Ints, Floats]:
    """By priorities, as a coreset is drawn."""
    draws, foremost = stream(seed, purpose), Foremost(wanted)
    for rows, _, weights in _owned(problem):
        assert weights is not None
        foremost.add(weights / (1.0 - draws.uniform(rows)), rows, weights)
    drawn, next_one = foremost.of_all(problem.comm)
    drawn = draws.staged(1).generator().permutation(drawn)
    return drawn[:, 1].astype(np.int64), np.maximum(drawn[:, 2], next_one)


def rows_of_numbers(problem: Problem, mean: Floats, numbers: Ints) -> Floats:
    """(R, D) the rows of these numbers, in this order; what they miss is at its mean (D,).

    They are the same bits on all ranks and any number of them; all ranks call it together.
    """
    found = np.zeros((len(numbers), problem.n_observed))
    if len(found) == 0:
        return found
    order = np.argsort(numbers)
    ascending = numbers[order]
    for rows, values, _ in _owned(problem, ascending):
        begin, end = np.searchsorted(ascending, (rows[0], rows[-1] + 1))
        own = values[np.searchsorted(rows, ascending[begin:end])]
        # A zero that is added makes -0 a 0, as it becomes in the sum where another rank owns the row.
        found[order[begin:end]] = np.where(np.isnan(own), mean, own) + 0.0
    problem.comm.sum_in_place(found)
    return found


def _owned(problem: Problem, wanted: Ints | None = None) -> Iterator[tuple[Ints, Floats, Floats | None]]:
    """The global rows (n,) of each block of this rank that are learned from, with their values (n, D) in double
    precision and their weights (n,).

    Where rows are `wanted`, in ascending order, only blocks that hold some of them.
    """
    for block in problem.blocks.owned(problem.comm.rank, problem.comm.size):
        rows = problem.blocks.rows(block)
        if wanted is not None and np.searchsorted(wanted, rows.start) == np.searchsorted(wanted, rows.stop):
            continue
        numbers, values = np.arange(rows.start, rows.stop), np.asarray(problem.values[problem.local(rows)], np.float64)
        weights = None if problem.weights is None else problem.weights[problem.local(rows)]
        learned_from = None if weights is None or weights.all() else weights > 0
        if problem.held_out is not None:
            others = ~problem.held_out.among(numbers)
            learned_from = others if learned_from is None else others & learned_from
        if learned_from is not None:
            numbers, values = numbers[learned_from], values[learned_from]
            weights = None if weights is None else weights[learned_from]
        if len(numbers):
            yield numbers, values, weights


def _squares(problem: Problem, center: Floats) -> Floats:
    """(D,) sum of the squared deviations of what was observed, over all ranks."""
    total = ExactSum([1] * problem.n_observed)
    for _, values, weights in _owned(problem):
        deviations = values - center
        deviations *= deviations
        if weights is not None:
            deviations *= weights[:, None]
        squares = deviations.sum(axis=0)
        total.add(np.nansum(deviations, axis=0) if np.isnan(squares).any() else squares)
    summed, _ = total.reduce(problem.comm, np.zeros(0))
    return summed


def _refuse_impossible(problem: Problem, total: _Total) -> None:
    """Raise UserError where there is nothing to learn from that could be computed with."""
    if total.n_rows == 0:
        raise UserError("the weights of all rows that are learned from are 0; at least one must be above it")
    if not total.n_observed.any():
        raise UserError(
            "all values of the data are NaN, which marks what was not observed; at least one must be a number"
        )
    specs = problem.model.parameters(problem.n_observed)
    noise = of_role(specs, "noise")
    if noise is None or specs[noise].shape == ():
        return
    magnitudes = np.where(total.n_observed > 0, np.maximum(-total.low, total.high), 0.0)
    lowest, precision = SMALLEST[np.dtype(problem.values.dtype)], in_precision(problem.values.dtype)
    tiny = np.flatnonzero((magnitudes > 0) & (magnitudes < lowest))
    if len(tiny):
        raise UserError(
            f"no value in column {tiny[0]} (counted from 0) exceeds {magnitudes[tiny[0]]:.3g} in magnitude, and "
            f"squares of that vanish; in {precision} the largest one in a column with a noise of its "
            f"own must be {lowest:g} or more: multiply the column by a power of 10, or choose model.noise: scalar"
        )


def _first(found: list[list[int]] | None) -> tuple[int, ...]:
    """The first rows of those that the ranks found, on root."""
    return tuple(row for rows in found or () for row in rows)[:SHOWN]
