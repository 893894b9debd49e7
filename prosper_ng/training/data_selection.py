"""Which rows a sweep learns from, and as what: all as they are, a random share, noisy ones, the best explained."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prosper_ng.models.interface import Batch
from prosper_ng.numerics.random_streams import stream
from prosper_ng.numerics.truncated_prior import covered
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.selection import largest
from prosper_ng.training.annealing import AnnealingPoint

Floats = NDArray[np.float64]


class Rows(Protocol):
    """Rows (n, D) in single or double precision that are indexed like an array; they may lie in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


def batch_of(rows: NDArray[np.int64], values: Floats) -> Batch:
    """The batch of global rows (n,) with values (n, D), in which NaN stands for what was not observed.

    Whatever precision the values come in, those of the batch are in double.
    """
    values = np.asarray(values, np.float64)
    observed = ~np.isnan(values)
    return Batch(rows, values) if observed.all() else Batch(rows, np.where(observed, values, 0.0), observed)


def visited_rows(seed: int, sweep: int, block: range, point: AnnealingPoint | None) -> NDArray[np.int64]:
    """The global rows of a block that a sweep visits: each with the probability `row_fraction`, drawn by its block."""
    rows = np.arange(block.start, block.stop)
    if point is None or point.row_fraction == 1:
        return rows
    generator = stream(seed, "visited rows", sweep).generator(block.start)
    return rows[generator.random(len(rows)) < point.row_fraction]


def noisy_values(
    seed: int, sweep: int, rows: NDArray[np.int64], values: Floats, point: AnnealingPoint | None
) -> Floats:
    """The values (n, D) of global rows (n,) plus the noise of this sweep."""
    if point is None or point.data_noise == 0 or len(rows) == 0:
        return values
    generator = stream(seed, "noise on data", sweep).generator(int(rows[0]))
    return values + point.data_noise * generator.standard_normal(values.shape)


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
