"""Linear algebra that survives singular matrices, and that several processes may do together where they are large."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import isqrt
from typing import Any, Protocol

import numpy as np
import scipy
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics import tiles
from prosper_ng.numerics.named_arrays import packed_size
from prosper_ng.numerics.scipy_parts import blas, lapack
from prosper_ng.numerics.tiles import LEAST_TILED

Floats = NDArray[np.float64]

_SQUARE = 32
_DENSE = 16
_LEAST_PIVOT, _NEGLIGIBLE = 1e-4, 1e-11
"""Of a Cholesky factor where it can be trusted; and variances that are rounding errors, beside others of 1."""
_MOST_LEVERAGE = 1e3
"""Of a latent in what others are made of, beyond which that is mostly rounding."""


class Algebra(Protocol):
    """What is done with a symmetric positive semi-definite matrix."""

    def factorized(self, moment: Floats) -> Floats | None:
        """The Cholesky factor of a symmetric matrix (n, n), in the lower triangle; None where it has none."""
        ...

    def solved(self, factor: Floats, right: Floats) -> Floats:
        """X (m, n) with X L Lᵀ = right, for the factor that was made last."""
        ...

    def multiplied(self, left: Floats, triangle: Floats) -> Floats:
        """left (m, n) @ S, where `triangle` is the lower one of S (n, n), row by row."""
        ...


class _Whole:
    """LAPACK and BLAS do it in one piece."""

    def factorized(self, moment: Floats) -> Floats | None:
        factor, failed = lapack("dpotrf")(moment, lower=1, clean=0)
        return None if failed else factor

    def solved(self, factor: Floats, right: Floats) -> Floats:
        return np.asarray(lapack("dpotrs")(factor, right.T, lower=1)[0].T)

    def multiplied(self, left: Floats, triangle: Floats) -> Floats:
        # BLAS counts columns first, so it sees transposes: the lower triangle is its upper one, and S is on the left.
        return np.asarray(blas("dsymm")(1.0, _lower(triangle).T, left.T, lower=0).T)


class _Single:
    """One process does it by tiles, as if it were a group."""

    rank, size = 0, 1

    def factorized(self, moment: Floats) -> Floats | None:
        factor = moment.copy()
        return factor if tiles.factorize(factor, self) else None

    def solved(self, factor: Floats, right: Floats) -> Floats:
        return tiles.solutions(factor, right, self)

    def multiplied(self, left: Floats, triangle: Floats) -> Floats:
        return tiles.products(left, triangle, self)

    def sum_in_place(self, values: NDArray[Any]) -> None:
        """Nothing to add."""

    def broadcast_in_place(self, values: NDArray[Any], source: int = 0) -> None:
        """Nobody to tell."""


_shared: ContextVar[Algebra] = ContextVar("shared")
_WHOLE, _SINGLE = _Whole(), _Single()


def _algebra_of(n: int) -> Algebra:
    """What is used for matrices (n, n): from `tiles.LEAST_TILED` on by tiles, which others may help with."""
    return _WHOLE if n < LEAST_TILED else _shared.get(_SINGLE)


@contextmanager
def using(algebra: Algebra) -> Iterator[None]:
    """Have large matrices dealt with by others, as far as this thread calls for it; what comes out is the same."""
    before = _shared.set(algebra)
    try:
        yield
    finally:
        _shared.reset(before)


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


def packed(matrix: Floats) -> Floats:
    """The lower triangle of a matrix (n, n), row by row: entry (i, j) lies at i (i + 1) / 2 + j."""
    triangle = np.empty(packed_size(len(matrix)))
    _pack(matrix, triangle)
    return triangle


def unpacked(triangle: Floats) -> Floats:
    """The symmetric matrix of which this is the lower triangle, row by row."""
    lower = _lower(triangle)
    _mirror(lower, lower)
    return lower


def packed_diagonal(n: int) -> NDArray[np.int64]:
    """(n,) where the diagonal of an (n, n) matrix lies in its lower triangle, row by row."""
    return np.cumsum(np.arange(1, n + 1)) - 1


def diagonal_of_packed(triangle: Floats) -> Floats:
    """(n,) the diagonal of the matrix of which this is the lower triangle, row by row."""
    return triangle[packed_diagonal(_side(triangle))]


@kernel
def scale_packed(triangle: Floats, scale: Floats) -> None:
    """Multiply entry (i, j) of a lower triangle, row by row, by scale_i scale_j."""
    place = 0
    for i in range(scale.size):
        for j in range(i + 1):
            triangle[place + j] *= scale[i] * scale[j]
        place += i + 1


def times_symmetric(left: Floats, triangle: Floats) -> Floats:
    """left (D, H) @ S (H, H), where S is symmetric and `triangle` its lower triangle, row by row."""
    return _algebra_of(_side(triangle)).multiplied(left, triangle)


def cross_moment(values: Floats, means: Floats) -> Floats:
    """values (n, D)ᵀ @ means (n, H); where few means are not zero, only these are multiplied.

    The way is chosen by the means alone, so that the same rows give the same bits. Of the time of a dense product
    single ones took 0.24 to 0.83 where one in 20 was not zero, and 0.5 to 1.5 where one in 10 was, with D from 25 to
    1,024 and H from 10 to 4,000.
    """
    if _count(means) * _DENSE > means.size:
        return np.asarray(values.T @ means)
    found = np.zeros((means.shape[1], values.shape[1]))
    _add_outer(np.ascontiguousarray(values), means, found)
    return found.T


@inner_kernel(error_model="numpy")
def _count(means: Any) -> int:
    """How many numbers are not zero, NaN among them."""
    total = 0
    for n in range(means.shape[0]):
        for h in range(means.shape[1]):
            total += means[n, h] != 0.0
    return total


@inner_kernel(error_model="numpy")
def _add_outer(values: Any, means: Any, found: Any) -> None:
    for n in range(means.shape[0]):
        for h in range(means.shape[1]):
            if means[n, h] != 0.0:
                _add_multiple(values[n], means[n, h], found[h])


@inner_kernel(error_model="numpy", fastmath={"contract"})
def _add_multiple(values: Any, factor: float, found: Any) -> None:
    for d in range(values.shape[0]):
        found[d] += factor * values[d]


def _side(triangle: Floats) -> int:
    return (isqrt(8 * len(triangle) + 1) - 1) // 2


def _lower(triangle: Floats) -> Floats:
    """A matrix (n, n) with this lower triangle; what lies above is not set."""
    n = _side(triangle)
    lower = np.empty((n, n))
    _unpack(triangle, lower)
    return lower


@kernel
def _pack(matrix: Any, triangle: Any) -> None:
    place = 0
    for i in range(matrix.shape[0]):
        for j in range(i + 1):
            triangle[place + j] = matrix[i, j]
        place += i + 1


@kernel
def _unpack(triangle: Any, lower: Any) -> None:
    place = 0
    for i in range(lower.shape[0]):
        for j in range(i + 1):
            lower[i, j] = triangle[place + j]
        place += i + 1


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
    scaled = moment * inverse_scale[:, None]
    scaled *= inverse_scale
    explained = times_symmetric(old, packed(moment)) if len(moment) >= LEAST_TILED else old @ moment
    residual = (right - explained) * inverse_scale
    return old + _least_solution(scaled, residual) * inverse_scale


def _least_solution(moment: Floats, right: Floats) -> Floats:
    """The smallest X (D, H) with X moment = right; `moment` (H, H) is positive semi-definite with a diagonal of 1."""
    first = _first_equal(moment)
    kept, places, counts = np.unique(first, return_inverse=True, return_counts=True)
    is_repeated = len(kept) < len(moment)
    some = _solution(moment[np.ix_(kept, kept)] if is_repeated else moment, right[:, kept] if is_repeated else right)
    if some is not None and is_repeated:
        # Equal latents, or opposite ones, share evenly what one of them would have.
        return (some / counts)[:, places] * np.sign(moment[np.arange(len(moment)), first])
    return _of_dependent(moment, right) if some is None else some


@kernel
def _first_equal(moment: Any) -> NDArray[np.int64]:
    """(H,) for each latent the first one that it equals but for the sign, itself where there is none."""
    first = np.arange(moment.shape[0])
    for i in range(moment.shape[0]):
        for j in range(i):
            if abs(moment[i, j]) >= 1.0 - 0.5 * _NEGLIGIBLE and first[j] == j:
                first[i] = j
                break
    return first


def _solution(moment: Floats, right: Floats) -> Floats | None:
    """X with X moment = right, where Cholesky's factor can be trusted."""
    algebra = _algebra_of(len(moment))
    factor = algebra.factorized(moment)
    if factor is None or not np.min(np.diagonal(factor)) > _LEAST_PIVOT:  # NaN is not
        return None
    return algebra.solved(factor, right)


def _of_dependent(moment: Floats, right: Floats) -> Floats:
    """As `_least_solution`, where latents depend on several others."""
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
