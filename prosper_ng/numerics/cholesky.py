"""Cholesky factors: of a covariance that may be singular, and of many small matrices side by side inside kernels.

The small matrices of a kernel lie in arrays (k, k, lanes): entry (i, j) of all matrices is one contiguous stretch, so
that each loop over the lanes is a few vector instructions however small the matrices are. Lower triangles only.
"""

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.kernels import kernel

Floats = NDArray[np.float64]

# In units of the variances: a correlation matrix with smaller eigenvalues is singular as far as we can tell.
_SINGULAR, _RAISED = 1e-14, 1e-10

# The determinants of the lanes are moved to their logarithms before they overflow.
_LARGE = 1e100


def positive_definite(matrix: Floats) -> Floats:
    """The symmetric part of a matrix; where that is not positive definite, one near to it that is.

    What counts is the correlation matrix, so that variables may have variances of any size.
    """
    symmetric = 0.5 * (matrix + matrix.T)
    if is_positive_definite(symmetric):
        return symmetric
    scale = _deviations(symmetric)
    # Raised eigenvalues make larger variances, in whose units they may be too small still, but not a third time.
    return positive_definite(at_least(symmetric, _RAISED * scale**2))


def is_positive_definite(symmetric: Floats) -> bool:
    """Whether a symmetric matrix is positive definite as far as double precision can tell."""
    scale = _deviations(symmetric)
    try:
        factor = scipy.linalg.cholesky(symmetric / scale[:, None] / scale, lower=True)
    except scipy.linalg.LinAlgError:
        return False
    return bool(np.min(np.diagonal(factor), initial=1.0) ** 2 > _SINGULAR)


def _deviations(symmetric: Floats) -> Floats:
    """(H,) the units of the variables: their standard deviations, the largest one where there is none."""
    variances = np.diagonal(symmetric)
    largest = float(np.max(variances, initial=0.0)) or 1.0
    return np.sqrt(np.where(variances > 0, variances, largest))


def at_least(matrix: Floats, least: Floats, before: Floats | None = None) -> Floats:
    """The symmetric part of a matrix, with variances in no direction smaller than those of the diagonal matrix `least`.

    Of all such covariances C it has the smallest log |C| + tr(C⁻¹ matrix): eigenvalues in units of `least` are raised
    to 1. `least` (H,) must be positive; it is made smaller, in proportion, where it would rule out the covariance
    `before`, so that the result is never worse than this one.
    """
    scale = np.sqrt(least)
    bound = 1.0  # "evd", as LAPACK's default fails on some matrices that are nearly the identity
    if before is not None:
        bound = min(1.0, float(scipy.linalg.eigvalsh(before / scale[:, None] / scale, driver="evd")[0]))
    symmetric = 0.5 * (matrix + matrix.T)
    eigenvalues, vectors = scipy.linalg.eigh(symmetric / scale[:, None] / scale, driver="evd")
    if eigenvalues[0] >= bound:
        return symmetric
    raised = (vectors * np.maximum(eigenvalues, bound)) @ vectors.T
    result = raised * scale[:, None] * scale
    return np.asarray(0.5 * (result + result.T))


@kernel(error_model="numpy")
def factorize(k: int, n_lanes: int, A: Any) -> None:
    """Replace each A by its Cholesky factor; pivots below 1e-16 of the diagonal are rounding errors and raised."""
    for i in range(k):
        for j in range(i):
            for p in range(j):
                for lane in range(n_lanes):
                    A[i, j, lane] -= A[i, p, lane] * A[j, p, lane]
            for lane in range(n_lanes):
                A[i, j, lane] /= A[j, j, lane]
        for lane in range(n_lanes):
            pivot = A[i, i, lane]
            for p in range(i):
                pivot -= A[i, p, lane] * A[i, p, lane]
            A[i, i, lane] = np.sqrt(max(pivot, 1e-16 * A[i, i, lane]))


@kernel(error_model="numpy")
def invert_factor(k: int, n_lanes: int, L: Any, inverse: Any) -> None:
    """Fill the lower triangle of `inverse` with that of each L⁻¹."""
    for i in range(k):
        for lane in range(n_lanes):
            inverse[i, i, lane] = 1.0 / L[i, i, lane]
        for j in range(i):
            for lane in range(n_lanes):
                inverse[i, j, lane] = 0.0
            for p in range(j, i):
                for lane in range(n_lanes):
                    inverse[i, j, lane] -= L[i, p, lane] * inverse[p, j, lane]
            for lane in range(n_lanes):
                inverse[i, j, lane] *= inverse[i, i, lane]


@kernel(error_model="numpy")
def inner_product(k: int, n_lanes: int, L: Any, S: Any, scratch: Any, result: Any) -> None:
    """The lower triangle of each Lᵀ S L for lower triangular L and symmetric S."""
    for p in range(k):
        for j in range(k):
            for lane in range(n_lanes):
                scratch[p, j, lane] = 0.0
            for q in range(j, k):
                for lane in range(n_lanes):
                    scratch[p, j, lane] += S[max(p, q), min(p, q), lane] * L[q, j, lane]
    for i in range(k):
        for j in range(i + 1):
            for lane in range(n_lanes):
                result[i, j, lane] = 0.0
            for p in range(i, k):
                for lane in range(n_lanes):
                    result[i, j, lane] += L[p, i, lane] * scratch[p, j, lane]


@kernel(error_model="numpy")
def outer_product(k: int, n_lanes: int, L: Any, S: Any, scratch: Any, result: Any) -> None:
    """The lower triangle of each L S Lᵀ for lower triangular L and symmetric S."""
    for p in range(k):
        for j in range(k):
            for lane in range(n_lanes):
                scratch[p, j, lane] = 0.0
            for q in range(j + 1):
                for lane in range(n_lanes):
                    scratch[p, j, lane] += S[max(p, q), min(p, q), lane] * L[j, q, lane]
    for i in range(k):
        for j in range(i + 1):
            for lane in range(n_lanes):
                result[i, j, lane] = 0.0
            for p in range(i + 1):
                for lane in range(n_lanes):
                    result[i, j, lane] += L[i, p, lane] * scratch[p, j, lane]


@kernel(error_model="numpy")
def _take_pivots(pivots: Any, n_lanes: int, inverse: Any, determinant: Any, log_determinants: Any) -> None:
    """Invert the pivots, none of which is below 1 but by rounding, and count them into the determinants."""
    for lane in range(n_lanes):
        pivot = max(pivots[lane], 1.0)
        inverse[lane] = 1.0 / pivot
        determinant[lane] *= pivot
    for lane in range(n_lanes):
        if determinant[lane] > _LARGE:
            log_determinants[lane] += np.log(determinant[lane])
            determinant[lane] = 1.0


@kernel(error_model="numpy")
def eliminate(k: int, n_lanes: int, A: Any, scratch: Any, log_determinants: Any) -> None:
    """Turn entry (k, k) of each bordered matrix [[B, u], [uᵀ, c]] into c - uᵀ B⁻¹ u; fill the lanes with log |B|.

    Each B is the identity plus a positive semi-definite matrix; A is (k + 1, k + 1, lanes), scratch (3, lanes).
    With B = L D Lᵀ, A then holds D⁻¹ on the diagonal, L below it, and D⁻¹ L⁻¹ u in row k: what `invert` needs.
    """
    inverse, multiple, determinant = scratch[0], scratch[1], scratch[2]
    determinant[:n_lanes] = 1.0
    log_determinants[:n_lanes] = 0.0
    for p in range(k):
        _take_pivots(A[p, p], n_lanes, inverse, determinant, log_determinants)
        for i in range(k, p, -1):
            for lane in range(n_lanes):
                multiple[lane] = A[i, p, lane] * inverse[lane]
            for j in range(p + 1, i + 1):
                for lane in range(n_lanes):
                    A[i, j, lane] -= multiple[lane] * A[j, p, lane]
            for lane in range(n_lanes):
                A[i, p, lane] = multiple[lane]
        for lane in range(n_lanes):
            A[p, p, lane] = inverse[lane]
    for lane in range(n_lanes):
        log_determinants[lane] += np.log(determinant[lane])


@kernel(error_model="numpy")
def invert(k: int, n_lanes: int, A: Any) -> None:
    """Turn what `eliminate` left into B⁻¹ (lower triangle) with (B⁻¹ u)ᵀ in row k.

    By substitution, which is backward stable: what a stiff direction of B determines keeps its relative precision.
    """
    for i in range(k - 1, -1, -1):
        for p in range(i + 1, k):
            for lane in range(n_lanes):
                A[k, i, lane] -= A[p, i, lane] * A[k, p, lane]
    for j in range(k):
        for i in range(j + 1, k):
            for p in range(j + 1, i):
                for lane in range(n_lanes):
                    A[i, j, lane] += A[i, p, lane] * A[p, j, lane]
            for lane in range(n_lanes):
                A[i, j, lane] = -A[i, j, lane]
    for i in range(k):
        for j in range(i):
            for lane in range(n_lanes):
                A[i, j, lane] *= A[i, i, lane]
        for p in range(i + 1, k):
            for j in range(i):
                for lane in range(n_lanes):
                    A[i, j, lane] += A[p, i, lane] * A[p, p, lane] * A[p, j, lane]
            for lane in range(n_lanes):
                A[i, i, lane] += A[p, i, lane] * A[p, p, lane] * A[p, i, lane]
