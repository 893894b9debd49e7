"""Cholesky factors: of a covariance that may be singular, and of many small matrices side by side inside kernels.

The small matrices of a kernel lie in arrays (k, k, LANES): entry (i, j) of all matrices is one contiguous stretch, a
vector, so that each step takes a few instructions however small the matrices are. Lower triangles only.
"""

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    exceeds,
    larger,
    load,
    load_row,
    minus,
    minus_product,
    over,
    plus_product,
    square_root,
    store,
    store_row,
    times,
)

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


@inner_kernel(error_model="numpy")
def factorize(k: int, A: Any) -> None:
    """Replace each A by its Cholesky factor; pivots below 1e-16 of the diagonal are rounding errors and raised."""
    for i in range(k):
        for j in range(i):
            entry = load(A, i, j)
            for p in range(j):
                entry = minus_product(entry, load(A, i, p), load(A, j, p))
            store(A, i, j, over(entry, load(A, j, j)))
        pivot = load(A, i, i)
        least = times(all_lanes(1e-16), pivot)
        for p in range(i):
            pivot = minus_product(pivot, load(A, i, p), load(A, i, p))
        store(A, i, i, square_root(larger(pivot, least)))


@inner_kernel(error_model="numpy")
def invert_factor(k: int, L: Any, inverse: Any) -> None:
    """Fill the lower triangle of `inverse` with that of each L⁻¹."""
    for i in range(k):
        reciprocal = over(all_lanes(1.0), load(L, i, i))
        store(inverse, i, i, reciprocal)
        for j in range(i):
            entry = all_lanes(0.0)
            for p in range(j, i):
                entry = minus_product(entry, load(L, i, p), load(inverse, p, j))
            store(inverse, i, j, times(entry, reciprocal))


@inner_kernel(error_model="numpy")
def inner_product(k: int, L: Any, S: Any, scratch: Any, result: Any) -> None:
    """The lower triangle of each Lᵀ S L for lower triangular L and symmetric S."""
    for p in range(k):
        for j in range(k):
            entry = all_lanes(0.0)
            for q in range(j, k):
                entry = plus_product(entry, load(S, max(p, q), min(p, q)), load(L, q, j))
            store(scratch, p, j, entry)
    for i in range(k):
        for j in range(i + 1):
            entry = all_lanes(0.0)
            for p in range(i, k):
                entry = plus_product(entry, load(L, p, i), load(scratch, p, j))
            store(result, i, j, entry)


@inner_kernel(error_model="numpy")
def outer_product(k: int, L: Any, S: Any, scratch: Any, result: Any) -> None:
    """The lower triangle of each L S Lᵀ for lower triangular L and symmetric S."""
    for p in range(k):
        for j in range(k):
            entry = all_lanes(0.0)
            for q in range(j + 1):
                entry = plus_product(entry, load(S, max(p, q), min(p, q)), load(L, j, q))
            store(scratch, p, j, entry)
    for i in range(k):
        for j in range(i + 1):
            entry = all_lanes(0.0)
            for p in range(i + 1):
                entry = plus_product(entry, load(L, i, p), load(scratch, p, j))
            store(result, i, j, entry)


@inner_kernel(error_model="numpy")
def eliminate(k: int, A: Any, logs: Any) -> None:
    """Turn entry (k, k) of each bordered matrix [[B, u], [uᵀ, c]] into c - uᵀ B⁻¹ u; log |B| is told by `logs`.

    Each B is the identity plus a positive semi-definite matrix, so that no pivot is below 1 but by rounding; A is
    (k + 1, k + 1, LANES). logs (2, LANES) are numbers from 1 to 1e100 whose logarithms are missing, and the rest of
    log |B|: many logarithms together take a fraction of the time. With B = L D Lᵀ, A then holds D⁻¹ on the diagonal, L
    below it, and D⁻¹ L⁻¹ u in row k: what `invert` needs.
    """
    one, large = all_lanes(1.0), all_lanes(_LARGE)
    determinant = one
    store_row(logs, 1, all_lanes(0.0))
    for p in range(k):
        pivot = larger(load(A, p, p), one)
        inverse = over(one, pivot)
        determinant = times(determinant, pivot)
        if exceeds(determinant, large):
            store_row(logs, 0, determinant)
            _take_logarithms(logs)
            determinant = load_row(logs, 0)
        for i in range(k, p, -1):
            multiple = times(load(A, i, p), inverse)
            for j in range(p + 1, i + 1):
                store(A, i, j, minus_product(load(A, i, j), multiple, load(A, j, p)))
            store(A, i, p, multiple)
        store(A, p, p, inverse)
    store_row(logs, 0, determinant)


@inner_kernel(error_model="numpy")
def _take_logarithms(logs: Any) -> None:
    """Move large determinants to their logarithms."""
    for lane in range(LANES):
        if logs[0, lane] > _LARGE:
            logs[1, lane] += np.log(logs[0, lane])
            logs[0, lane] = 1.0


@inner_kernel(error_model="numpy")
def invert(k: int, A: Any) -> None:
    """Turn what `eliminate` left into B⁻¹ (lower triangle) with (B⁻¹ u)ᵀ in row k.

    By substitution, which is backward stable: what a stiff direction of B determines keeps its relative precision.
    """
    for i in range(k - 1, -1, -1):
        entry = load(A, k, i)
        for p in range(i + 1, k):
            entry = minus_product(entry, load(A, p, i), load(A, k, p))
        store(A, k, i, entry)
    for j in range(k):
        for i in range(j + 1, k):
            entry = minus(all_lanes(0.0), load(A, i, j))
            for p in range(j + 1, i):
                entry = minus_product(entry, load(A, i, p), load(A, p, j))
            store(A, i, j, entry)
    for i in range(k):
        for j in range(i):
            store(A, i, j, times(load(A, i, j), load(A, i, i)))
        for p in range(i + 1, k):
            scaled = times(load(A, p, i), load(A, p, p))
            for j in range(i):
                store(A, i, j, plus_product(load(A, i, j), scaled, load(A, p, j)))
            store(A, i, i, plus_product(load(A, i, i), scaled, load(A, p, i)))
