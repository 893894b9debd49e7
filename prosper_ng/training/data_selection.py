"""Which rows a sweep learns from, and as what: all as they are, a random share, noisy ones, the best explained."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models.interface import Batch
from prosper_ng.numerics.random_streams import stream
from prosper_ng.numerics.truncated_prior import covered
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.selection import largest
from prosper_ng.training.annealing import AnnealingPoint
from prosper_ng.training.held_out import HeldOut

Floats = NDArray[np.float64]


class Rows(Protocol):
    """Rows (n, D) in single or double precision that are indexed like an array; they may lie in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Single or double precision."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def batch_of(rows: NDArray[np.int64], values: Floats, weights: Floats | None = None) -> Batch:
    """The batch of global rows (n,) with weights (n,) and values (n, D), in which NaN stands for what was not observed.

    Whatever precision the values come in, those of the batch are in double.
    """
    values = np.asarray(values, np.float64)
    observed = ~np.isnan(values)
    if observed.all():
        return Batch(rows, values, weights=weights)
    return Batch(rows, np.where(observed, values, 0.0), observed, weights)


def visited_rows(
    seed: int,
    sweep: int,
    mine: Iterable[range],
    everyone: Iterable[range],
    point: AnnealingPoint | None,
    held_out: HeldOut | None = None,
) -> Iterator[NDArray[np.int64]]:
    """The global rows that a sweep visits, block by block of `mine`: each with the probability `row_fraction`, those
    that are held out always, since they are compared from sweep to sweep.

    Where none to learn from is drawn among the blocks of `everyone`, to which `mine` belong, that of the smallest draw
    is visited after all. A rank needs no other to find that out: draws are a function of the row. It looks at foreign
    ones only if it has drawn no row of its own, and only up to the first that is drawn, about the 1 / row_fraction-th.
    """
    fraction = 1.0 if point is None else point.row_fraction
    n_visited, own_rows = 0, []
    for block in mine:
        rows = np.arange(block.start, block.stop)
        if fraction < 1:
            draws = _draws(seed, sweep, block, held_out)
            n_visited += int(np.count_nonzero(draws < fraction))
            rows = rows[(draws < fraction) | np.isinf(draws)]
        else:
            n_visited += len(rows)
        own_rows.append(block)
        yield rows
    if n_visited == 0 and own_rows:
        substitute = _smallest_draw(seed, sweep, everyone, fraction, held_out)
        if any(substitute in block for block in own_rows):
            yield np.array([substitute])


def _smallest_draw(
    seed: int, sweep: int, blocks: Iterable[range], fraction: float, held_out: HeldOut | None
) -> int | None:
    """The row of the smallest draw, the first of equal ones; None where some row is drawn."""
    row, smallest = None, np.inf
    for block in blocks:
        draws = _draws(seed, sweep, block, held_out)
        if draws.min() < fraction:
            return None
        if draws.min() < smallest:
            row, smallest = block.start + int(draws.argmin()), draws.min()
    return row


def _draws(seed: int, sweep: int, block: range, held_out: HeldOut | None) -> Floats:
    """A number from [0, 1) for each row of a block that may be learned from, infinity for the others."""
    rows = np.arange(block.start, block.stop)
    draws = stream(seed, "visited rows", sweep).uniform(rows)
    return draws if held_out is None else np.where(held_out.among(rows), np.inf, draws)


def noisy_values(
    seed: int,
    sweep: int,
    rows: NDArray[np.int64],
    values: Floats,
    point: AnnealingPoint | None,
    held_out: HeldOut | None = None,
) -> Floats:
    """The values (n, D) of global rows (n,) plus the noise of this sweep; rows that are held out have none."""
    if point is None or point.data_noise == 0 or len(rows) == 0:
        return values
    noise = point.data_noise * stream(seed, "noise on data", sweep).normal(rows, values.shape[1])
    return values + noise if held_out is None else values + np.where(held_out.among(rows)[:, None], 0.0, noise)


def best_explained(
    free_energies: Floats, pruning: float, activity: Floats, max_active: int, comm: Communicator
) -> float:
    """The free energy that the N (1 - (1 - A) Ncut) best explained rows of all ranks reach.

    A is the prior probability of at most gamma active latents, Ncut the data pruning in [0, 1]
    (Lücke and Eggert, JMLR 2010). At least one row is kept.
    """
    n_rows = np.array([float(len(free_energies))])
    comm.sum_in_place(n_rows)
    mass, _ = covered(activity, max_active)
    n_kept = int(n_rows[0] * (1.0 - (1.0 - mass) * pruning))
    return largest(free_energies, max(n_kept, 1), comm)
