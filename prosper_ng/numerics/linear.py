"""Linear algebra that survives singular matrices."""

from math import isqrt
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.kernels import kernel

Floats = NDArray[np.float64]

_SQUARE = 32
_LEAST_PIVOT, _NEGLIGIBLE = 1e-4, 1e-11
"""Of a Cholesky factor where it can be trusted; and variances that are rounding errors, beside others of 1."""
_MOST_LEVERAGE = 1e3
"""Of a latent in what others are made of, beyond which that is mostly rounding."""


def symmetric(lower: Floats) -> Floats:
    """The symmetric matrix of which this is the lower triangle; what lies above is not looked at."""
    whole = np.empty_like(lower)
    _mirror(lower, whole)
    return whole


@kernel
def _mirror(lower: Any, whole: Any) -> None:
    """Copy a triangle to both sides, square by square, since a column is far apart in memory."""
    n = lower.shape[0]
    for top in range(0, n, _SQUARE):
        for left in range(0, top + 1, _SQUARE):
            for i in range(top, min(top + _SQUARE, n)):
                for j in range(left, min(left + _SQUARE, i + 1)):
                    whole[i, j] = whole[j, i] = lower[i, j]


def packed_size(n: int) -> int:
    """The number of entries of the lower triangle of an (n, n) matrix."""
    return n * (n + 1) // 2


def packed(matrix: Floats) -> Floats:
    """The lower triangle of a matrix (n, n), row by row: entry (i, j) lies at i (i + 1) / 2 + j."""
    return np.asarray(matrix[np.tril_indices(len(matrix))])


def unpacked(triangle: Floats) -> Floats:
    """The symmetric matrix of which this is the lower triangle, row by row."""
    n = _side(triangle)
    lower = np.zeros((n, n))
    lower[np.tril_indices(n)] = triangle
    return symmetric(lower)


def diagonal_of_packed(triangle: Floats) -> Floats:
    """(n,) the diagonal of the matrix of which this is the lower triangle, row by row."""
    return triangle[np.cumsum(np.arange(1, _side(triangle) + 1)) - 1]


def _side(triangle: Floats) -> int:
    return (isqrt(8 * len(triangle) + 1) - 1) // 2


def times_symmetric(left: Floats, lower: Floats) -> Floats:
    """left (D, H) @ S (H, H), where S is symmetric and `lower` its lower triangle; what lies above is not looked at."""
    # BLAS counts columns first, so it sees transposes: the lower triangle is its upper one, and S stands on the left.
    return np.asarray(scipy.linalg.blas.dsymm(1.0, lower.T, left.T, lower=0).T)


def solve_least_change(moment: Floats, right: Floats, old: Floats) -> Floats:
    """X (D, H) with X moment = right; where the equations leave X open, the X nearest to `old`.

    `moment` (H, H) is symmetric and positive semi-definite: a latent that no state used (a zero row), or latents that
    were only ever used together, keep the part of `old` that nothing was learned about.
    """
    scale = np.sqrt(np.diagonal(moment))
    # Rows that are zero, or subnormal, say nothing; rescaling makes "singular" independent of how active latents are.
    known = ~(scale <= 1e-150)  # what is not a number is not passed over
    if not known.all():
        found = old.copy()
        if known.any():
            found[:, known] = solve_least_change(moment[np.ix_(known, known)], right[:, known], old[:, known])
        return found
    inverse_scale = 1.0 / scale
    scaled = moment * inverse_scale[:, None] * inverse_scale
    residual = (right - old @ moment) * inverse_scale
    return old + _least_solution(scaled, residual) * inverse_scale


def _least_solution(moment: Floats, right: Floats) -> Floats:
    """The smallest X (D, H) with X moment = right; `moment` (H, H) is positive semi-definite with a diagonal of 1."""
    try:
        factor = scipy.linalg.cho_factor(moment, lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        pass
    else:
        if np.min(np.diagonal(factor[0])) > _LEAST_PIVOT:
            return np.asarray(scipy.linalg.cho_solve(factor, right.T, check_finite=False).T)
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(np.asarray_chkfinite(moment), lower=1, tol=_NEGLIGIBLE)
    lower, beside = factor[:rank, :rank], factor[rank:, :rank]
    if rank < len(moment) and np.min(np.diagonal(lower)) > _LEAST_PIVOT:
        null = scipy.linalg.solve_triangular(lower, -beside.T, lower=True, trans="T", check_finite=False)
        if np.abs(null).max() < _MOST_LEVERAGE:
            return _among_dependent(lower, null, pivots - 1, right)
    # Not LAPACK's default, which fails on some matrices that are nearly the identity.
    eigenvalues, vectors = scipy.linalg.eigh(moment, driver="evd")
    keep = eigenvalues > _NEGLIGIBLE * max(eigenvalues[-1], 0.0)
    vectors = vectors[:, keep]
    return np.asarray(((right @ vectors) / eigenvalues[keep]) @ vectors.T)


def _among_dependent(lower: Floats, null: Floats, order: NDArray[np.int32], right: Floats) -> Floats:
    """The smallest solution where the rows `order[r:]` of a moment are -nullᵀ (H - r, r) times those of `order[:r]`.

    `lower` (r, r) is the Cholesky factor of the latter. A solution of these alone, less its part in the null space,
    takes no more than one factorization.
    """
    kept, others = order[: len(lower)], order[len(lower) :]
    found = np.zeros_like(right)
    some = scipy.linalg.cho_solve((lower, True), right[:, kept].T, check_finite=False).T
    part = scipy.linalg.solve(np.eye(len(others)) + null.T @ null, (some @ null).T, assume_a="pos").T
    found[:, kept], found[:, others] = some - part @ null.T, -part
    return found
