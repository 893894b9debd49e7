"""Lightweight coresets: few rows, weighted so that they stand for all (Bachem, Lucic and Krause, KDD 2018).

A row of weight w, at the distance d from the mean of all, is drawn with a probability proportional to

    q = w / 2 sum w  +  w d² / 2 sum w d²,

and counts as 1 / q times w, up to a constant; so sums over rows are those over all rows on average, and error and
likelihood of any clustering stay within a share of their own value and of that of the mean.

Rows are not drawn independently, one of which could come twice, but by priorities q / u, with u between 0 and 1 a
function of the row's number alone (Duffield, Lund and Thorup, J. ACM 2007): those of the m largest are taken, and a row
counts as max(w, t w / q) with t the largest priority of the others. That is as free of bias, and varies less. All rows
are passed over twice, and no rank holds more than about 2 m priorities, whatever N is.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.errors import UserError
from prosper_ng.models.interface import Model, Moments
from prosper_ng.models.roles import of_role
from prosper_ng.numerics.random_streams import stream
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.exact_sum import ExactSum
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.rows import RowBlocks
from prosper_ng.parallel.selection import Foremost

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Read = Callable[[int, int], Floats]


class AllRows(NamedTuple):
    """All rows of the data, which are read block by block, each rank its own, and kept by nobody."""

    read: Read
    """Rows start..stop, (n, D)."""
    weigh: Read | None
    """As how many each of rows start..stop counts, (n,); None where each is one."""
    n_observed: int
    blocks: RowBlocks
    comm: Communicator
    left_out: Ints = np.empty(0, np.int64)
    """The numbers of rows that are passed over."""

    def pieces(self) -> Iterator[tuple[Ints, Floats, Floats | None]]:
        """The numbers (n,), values (n, D) and weights (n,) of the rows of each block of this rank."""
        for block in self.blocks.owned(self.comm.rank, self.comm.size):
            rows = self.blocks.rows(block)
            numbers, values = np.arange(rows.start, rows.stop), self.read(rows.start, rows.stop)
            weights = None if self.weigh is None else self.weigh(rows.start, rows.stop)
            kept = ~np.isin(numbers, self.left_out, assume_unique=True)
            if kept.all():
                yield numbers, values, weights
            elif kept.any():
                yield numbers[kept], values[kept], None if weights is None else weights[kept]


class Coreset(NamedTuple):
    """Rows that stand for all; the same on all ranks, and to the last bit on any number of them."""

    numbers: Ints
    """(m,) in ascending order."""
    weights: Floats
    """(m,) how many rows each counts as."""


class _Spread(NamedTuple):
    """How all rows are spread."""

    mean: Floats
    unit: Floats
    """(D,) in which distances are measured."""
    mass: float
    """The sum of all weights."""
    squares: float
    """The weighted sum of squared distances."""


def drawn_coreset(n_wanted: int, first: AllRows, again: AllRows, model: Model, seed: int) -> Coreset:
    """As many rows, or all that have a weight where these are fewer; all ranks call it together.

    Rows are read with `first`, then `again`. Distances are measured in the standard deviation of each column, unless
    one number says how strong the noise of the model is: then in the units of the data. Missing values lie at the
    mean. Raises UserError where all weights are 0.
    """
    spread = _spread_of(first, again, model)
    draws, foremost = stream(seed, "coreset"), Foremost(n_wanted)
    with collectively(again.comm, "drawing the coreset"):
        for rows, values, weights in again.pieces():
            deviations = np.nan_to_num((values - spread.mean) / spread.unit)
            squares = np.sum(deviations * deviations, axis=1)
            share = np.full(len(rows), 1 / spread.mass)
            if spread.squares > 0:
                share = 0.5 * share + 0.5 * squares / spread.squares
            own = np.ones(len(rows)) if weights is None else weights
            counts = own > 0
            priorities = own * share / (1.0 - draws.uniform(rows))
            foremost.add(priorities[counts], rows[counts], own[counts], share[counts])
    drawn, threshold = foremost.of_all(again.comm)
    return Coreset(drawn[:, 1].astype(np.int64), np.maximum(drawn[:, 2], threshold / drawn[:, 3]))


def _spread_of(first: AllRows, again: AllRows, model: Model) -> _Spread:
    """From one pass: sums are about the mean of the first rows, which loses no digits that matter here."""
    comm, D = first.comm, first.n_observed
    about, total = np.zeros(D), ExactSum([1] * (3 * D + 1))
    with collectively(comm, "reading the data"):
        if comm.is_root:
            beginning = first.blocks.rows(0)
            values = again.read(beginning.start, beginning.stop)
            about[:] = np.nansum(values, axis=0) / np.maximum(np.count_nonzero(~np.isnan(values), axis=0), 1)
    comm.broadcast_in_place(about)
    with collectively(comm, "reading the data"):
        for rows, values, weights in first.pieces():
            own = np.ones(len(rows)) if weights is None else weights
            masses, deviations = own[:, None] * ~np.isnan(values), np.nan_to_num(values - about)
            columns = [masses, masses * deviations, masses * deviations * deviations, own[:, None]]
            total.add(np.concatenate([each.sum(axis=0) for each in columns]))
    summed, _ = total.reduce(comm, np.zeros(0))
    if summed[-1] == 0:
        raise UserError("the weights of all rows are 0; at least one must be above it")
    masses, sums, squares = summed[:-1].reshape(3, D)
    known = np.where(masses > 0, masses, 1.0)
    shift = sums / known
    variance = np.maximum(squares / known - shift * shift, 0.0)
    specs = model.parameters(D)
    noise = of_role(specs, "noise")
    is_shared = noise is not None and specs[noise].shape == ()
    unit = np.ones(D) if is_shared else Moments(first.blocks.n_rows, about + shift, variance).spreads
    return _Spread(about + shift, unit, float(summed[-1]), float(np.sum(masses * variance / unit**2)))
