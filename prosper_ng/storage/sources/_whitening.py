"""A linear map that gives rows uncorrelated entries of equal variance, and its inverse."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prosper_ng.storage.dataset import DataError

Floats = NDArray[np.float64]
Kind = Literal["none", "zca", "pca"]

NEEDS_ALL = "a row is whitened from all its values, so none may be missing; leave out `whiten` or `missing`"
"""Said where both are asked for."""

BLOCK_ROWS = 1024
MAX_BLOCKS = 48


class Whitening:
    """rows -> (rows - mean) @ matrix, with the eigenvalues of the covariance raised by `epsilon` of their mean.

    ZCA stays as close to the rows as whitening can; PCA gives coordinates in order of falling variance. Both keep D
    entries and can be undone. A row is transformed with the same bits whatever rows come along with it.
    """

    def __init__(self, kind: Kind, mean: Floats, covariance: Floats, epsilon: float, where: str) -> None:
        """From the moments of the rows; raises DataError where the covariance cannot be inverted."""
        variances, axes = np.linalg.eigh(covariance)
        variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
        raised = variances + epsilon * variances.mean()
        if variances[0] == 0:
            raise DataError(f"{where} cannot be whitened: all its rows are equal")
        n_flat = int(np.count_nonzero(raised <= 1e-12 * raised.max()))
        if n_flat:
            raise DataError(
                f"{where} cannot be whitened: its rows do not vary in {n_flat} of {len(mean)} directions; "
                "leave those out, or set whiten_epsilon above 0"
            )
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(len(mean))] < 0, -1.0, 1.0)
        onward, back = axes / np.sqrt(raised), (axes * np.sqrt(raised)).T
        if kind == "zca":
            onward, back = onward @ axes.T, axes @ back
        self.mean = mean
        self.matrix, self.inverse = np.ascontiguousarray(onward), np.ascontiguousarray(back)

    def apply(self, rows: Floats) -> Floats:
        """The whitened rows (n, D)."""
        return times(rows - self.mean, self.matrix)

    def undo(self, rows: Floats) -> Floats:
        """The rows (n, D) that were whitened."""
        return self.undo_directions(rows) + self.mean

    def undo_directions(self, directions: Floats) -> Floats:
        """Differences of rows (n, D), such as the columns of a dictionary, before whitening."""
        return times(np.ascontiguousarray(directions, dtype=np.float64), self.inverse)


def fit_whitening(
    kind: Kind, epsilon: float, read: Callable[[int, int], Floats], n_rows: int, where: str, missing: bool = False
) -> Whitening | None:
    """The whitening of a dataset, None for kind `none`.

    Every rank computes it from the same rows: all of them up to 49,152 (48 blocks of 1,024), beyond that 48 blocks
    evenly spread over the data. Raises DataError where values may be `missing`.
    """
    if kind == "none":
        return None
    if missing:
        raise DataError(f"{where} cannot be whitened: {NEEDS_ALL}")
    n_blocks = -(-n_rows // BLOCK_ROWS)
    chosen = np.unique(np.linspace(0, n_blocks - 1, min(n_blocks, MAX_BLOCKS)).round().astype(int))
    shift: Floats = np.zeros(0)
    total, products, n_used = np.zeros(0), np.zeros((0, 0)), 0
    for block in chosen:
        start = int(block) * BLOCK_ROWS
        rows = read(start, min(start + BLOCK_ROWS, n_rows))
        if n_used == 0:
            shift = rows.mean(axis=0)
            total, products = np.zeros(len(shift)), np.zeros((len(shift), len(shift)))
        centered = rows - shift
        total += centered.sum(axis=0)
        products += centered.T @ centered
        n_used += len(rows)
    mean = total / n_used
    return Whitening(kind, shift + mean, products / n_used - np.outer(mean, mean), epsilon, where)


def times(rows: Floats, matrix: Floats) -> Floats:
    """rows @ matrix, where the bits of a row do not depend on the number of rows, as they do in BLAS."""
    product = np.zeros((len(rows), matrix.shape[1]))
    _add_product(np.ascontiguousarray(rows), matrix, product)
    return product


@njit(cache=True)
def _add_product(rows: Any, matrix: Any, product: Any) -> None:
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            for j in range(matrix.shape[1]):
                product[i, j] += rows[i, k] * matrix[k, j]
