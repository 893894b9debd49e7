"""Cholesky factors, solutions and products of large symmetric matrices, by one process or by many together.

BLAS rounds differently for other shapes. So a matrix is cut into columns of tiles, and what is multiplied with it into
chunks of rows, by its size alone: which process does which of them, and how many there are, changes no bit.

The processes of a group call these functions together, with equal arguments, and all get the result.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST_TILED = 1024
"""Smaller matrices are left to LAPACK as a whole: sending them takes as long as what is saved."""
_TILE = 128
_ROWS = 32


class Group(Protocol):
    """Processes that call the same methods in the same order."""

    rank: int
    size: int

    def sum_in_place(self, values: NDArray[Any]) -> None:
        """Replace `values` by their sum over the processes."""
        ...

    def broadcast_in_place(self, values: NDArray[Any], source: int = 0) -> None:
        """Replace `values` by those of one process."""
        ...


def factorize(matrix: Floats, group: Group) -> bool:
    """Replace the lower triangle of a symmetric matrix (n, n) by its Cholesky factor; whether it has one.

    Only the lower triangle is read. One column of tiles after the other is finished by the process that owns it, and
    told to the others, which take it out of the columns of their own that are still to come.
    """
    n = len(matrix)
    starts = range(0, n, _TILE)
    for number, start in enumerate(starts):
        stop = min(start + _TILE, n)
        owner = number % group.size
        column = np.empty((n - start, stop - start))
        if group.rank == owner:
            column[...] = matrix[start:, start:stop]
            _finish(column)
        group.broadcast_in_place(column, owner)
        if not np.isfinite(column).all():
            return False
        matrix[start:, start:stop] = column
        for later in starts[number + 1 :]:
            if later // _TILE % group.size == group.rank:
                below = column[later - start :]
                matrix[later:, later : later + _TILE] -= below @ below[:_TILE].T
    return True


def _finish(column: Floats) -> None:
    """Factorize the first tile of a column of tiles and solve for the others, in place; NaN where it has no factor."""
    width = column.shape[1]
    factor, info = scipy.linalg.lapack.dpotrf(column[:width], lower=1)
    if info:
        column[0, 0] = np.nan
        return
    column[:width] = factor
    column[width:] = scipy.linalg.blas.dtrsm(1.0, factor, column[width:], side=1, lower=1, trans_a=1)


def solutions(factor: Floats, right: Floats, group: Group) -> Floats:
    """X (m, n) with X L Lᵀ = right, for the lower triangle L of `factor` (n, n)."""
    upper = factor.T  # as LAPACK stores matrices, so that none of the chunks has a copy made of it
    return _by_rows(right, group, lambda rows: scipy.linalg.cho_solve((upper, False), rows.T, check_finite=False).T)


def products(left: Floats, symmetric: Floats, group: Group) -> Floats:
    """left (m, n) @ symmetric (n, n)."""
    return _by_rows(left, group, lambda rows: rows @ symmetric)


def _by_rows(rows: Floats, group: Group, of: Callable[[Floats], Floats]) -> Floats:
    """What a function makes of rows (m, n), chunk by chunk, the chunks in turn by each process."""
    found = np.zeros(rows.shape)
    for number, start in enumerate(range(0, len(rows), _ROWS)):
        if number % group.size == group.rank:
            found[start : start + _ROWS] = of(np.ascontiguousarray(rows[start : start + _ROWS]))
    group.sum_in_place(found)
    return found + 0.0  # one zero, not two, also of a single process
