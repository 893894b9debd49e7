"""Cholesky factors, solutions and products of large symmetric matrices, by one process or by many together.

BLAS rounds differently for other shapes. So a matrix is cut into columns of tiles, and what it is solved for into
chunks of rows, by its size alone: which process does which of them, and how many there are, changes no bit.

The processes of a group call these functions together, with equal arguments, and all get the result.
"""

from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.kernels import kernel

Floats = NDArray[np.float64]

LEAST_TILED = 1024
"""Smaller matrices are left to LAPACK as a whole: sending them takes as long as what is saved."""
TILE = 128
"""Columns that are factorized, or multiplied with, together."""
ROWS = 32
"""Rows that are solved for together."""


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
    starts = range(0, n, TILE)
    for number, start in enumerate(starts):
        stop = min(start + TILE, n)
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
            if later // TILE % group.size == group.rank:
                below = column[later - start :]
                matrix[later:, later : later + TILE] -= below @ below[:TILE].T
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
    """X (m, n) with X L Lᵀ = right (m, n), for the lower triangle L of `factor` (n, n); a chunk of rows at a time."""
    upper = factor.T  # as LAPACK stores matrices, so that none of the chunks has a copy made of it
    found = np.zeros(right.shape)
    for start in _own(len(right), ROWS, group):
        rows = right[start : start + ROWS].T
        found[start : start + ROWS] = scipy.linalg.cho_solve((upper, False), rows, check_finite=False).T
    return _of_all(found, group)


def products(left: Floats, triangle: Floats, group: Group) -> Floats:
    """left (m, n) @ S (n, n), of which `triangle` is the lower one, row by row; a column of tiles at a time."""
    n = left.shape[1]
    found, columns = np.zeros(left.shape), np.empty((n, min(TILE, n)))
    for start in _own(n, TILE, group):
        width = min(TILE, n - start)
        _take_columns(triangle, start, columns[:, :width])
        found[:, start : start + width] = left @ columns[:, :width]
    return _of_all(found, group)


@kernel
def _take_columns(triangle: Any, start: int, columns: Any) -> None:
    """Fill `columns` (n, w) with those of a symmetric matrix from `start` on."""
    n, width = columns.shape
    for i in range(n):
        row = i * (i + 1) // 2 + start
        for j in range(min(max(i - start + 1, 0), width)):
            columns[i, j] = triangle[row + j]
    for j in range(width):
        row = (start + j) * (start + j + 1) // 2
        for i in range(start + j):
            columns[i, j] = triangle[row + i]


def _own(n: int, step: int, group: Group) -> range:
    """Where the pieces of this process begin."""
    return range(step * group.rank, n, step * group.size)


def _of_all(found: Floats, group: Group) -> Floats:
    """What the processes found, each in places of its own, with zeros in those of the others."""
    group.sum_in_place(found)
    return found + 0.0  # one zero, not two, also of a single process
