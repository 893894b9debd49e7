"""Tables and kernels of mixtures of factor analyzers; `mfa` says what they compute.

Values lie about the center, in units of each column, padded with zeros to whole vectors of 8, so that what is behind
the last entry adds nothing. With M = I + Aᵀ Psi⁻¹ A = L Lᵀ and u = L⁻¹ Aᵀ Psi⁻¹ (y - W) a complete row has

    log p(y | c) = constant + |u|² / 2 - (y - W)ᵀ Psi⁻¹ (y - W) / 2,    <z> = L⁻ᵀ u,    Cov z = M⁻¹,

which takes (F + 2) D operations. Rows with gaps have an M of their own, over the entries that they have.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    load,
    minus,
    plus,
    plus_product,
    prefetch_row,
    store,
    sum_of_lanes,
    times,
)

Floats = NDArray[np.float64]


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    center: Floats
    """(D,) what values are measured from."""
    unit: Floats
    """(D,) what they are measured in, powers of two."""
    log_pi: Floats
    """(C,)."""
    constants: Floats
    """(C,) log pi, and what normalizes a complete row."""
    means: Floats
    """(C, D')."""
    halves: Floats
    """(C, D') halves of inverse variances of the noise."""
    logs: Floats
    """(C, D') what normalizes the noise of an entry."""
    directions: Floats
    """(C F, D') rows of L⁻¹ Aᵀ Psi⁻¹."""
    loadings: Floats
    """(C, D, F) A."""
    origin: Floats
    """(C, F) the factors are taken to statistics as origin + root z."""
    root: Floats
    """(C, F, F)."""
    spread: Floats
    """(C, F, F) root L⁻ᵀ, of complete rows."""
    back: Floats
    """(C, F, F) L⁻ᵀ, of complete rows."""
    entropies: Floats
    """(2, C) of origin + root z for z ~ N(0, I), and given a complete row."""
    covariances: Floats
    """(C, F, F) of origin + root z given a complete row."""
    gap_entropies: Floats
    """(C, D) of an entry given the factors."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    values: Floats
    """(n, D') from the center, in units; 0 where missing."""
    seen: NDArray[np.bool_]
    """(n, D) which entries were observed; (0, D) where all rows are complete."""
    is_complete: NDArray[np.bool_]
    """(n,)."""


@inner_kernel
def _compare(
    values: Any, n: int, c: int, means: Any, halves: Any, directions: Any, scratch: Any, u: Any
) -> float:  # fmt: skip
    """Half the squared distance of a complete row from a mean in units of the noise; fills u (F,) and scratch[0]."""
    energy, width, n_factors = all_lanes(0.0), means.shape[1], u.shape[0]
    for d in range(0, width, LANES):
        each = minus(load(values, n, d), load(means, c, d))
        store(scratch, 0, d, each)
        energy = plus_product(energy, times(each, each), load(halves, c, d))
    # Four sums side by side: each waits for its last product.
    whole = n_factors - n_factors % 4
    for f in range(0, whole, 4):
        _multiply_four(scratch, directions, c * n_factors + f, u, f)
    for f in range(whole, n_factors):
        u[f] = _product(scratch, directions, c * n_factors + f)
    return sum_of_lanes(energy)


@inner_kernel
def _multiply_four(rows: Any, directions: Any, first: int, u: Any, f: int) -> None:
    """Fill four numbers of u from f on with the inner products of the first row and four directions."""
    i, j, k, m = all_lanes(0.0), all_lanes(0.0), all_lanes(0.0), all_lanes(0.0)
    for d in range(0, rows.shape[1], LANES):
        each = load(rows, 0, d)
        i = plus_product(i, each, load(directions, first, d))
        j = plus_product(j, each, load(directions, first + 1, d))
        k = plus_product(k, each, load(directions, first + 2, d))
        m = plus_product(m, each, load(directions, first + 3, d))
    u[f], u[f + 1], u[f + 2], u[f + 3] = sum_of_lanes(i), sum_of_lanes(j), sum_of_lanes(k), sum_of_lanes(m)


@inner_kernel
def _product(rows: Any, directions: Any, place: int) -> float:
    """The inner product of the first row and a direction, as two sums side by side."""
    even, odd, width = all_lanes(0.0), all_lanes(0.0), rows.shape[1]
    for d in range(0, width - LANES, 2 * LANES):
        even = plus_product(even, load(rows, 0, d), load(directions, place, d))
        odd = plus_product(odd, load(rows, 0, d + LANES), load(directions, place, d + LANES))
    if width % (2 * LANES):
        even = plus_product(even, load(rows, 0, width - LANES), load(directions, place, width - LANES))
    return sum_of_lanes(plus(even, odd))


@inner_kernel(error_model="numpy")
def _condition(
    values: Any, seen: Any, n: int, c: int, means: Any, halves: Any, logs: Any, loadings: Any, L: Any, z: Any
) -> float:  # fmt: skip
    """log p(y | c) of the observed entries; L (F, F) becomes the Cholesky factor of M, and z (F,) the mean."""
    n_factors, total = z.shape[0], 0.0
    for f in range(n_factors):
        z[f] = 0.0
        for g in range(f + 1):
            L[f, g] = 1.0 if f == g else 0.0
    for d in range(seen.shape[1]):
        if seen[n, d]:
            difference = values[n, d] - means[c, d]
            total += logs[c, d] - difference * difference * halves[c, d]
            for f in range(n_factors):
                scaled = 2.0 * halves[c, d] * loadings[c, d, f]
                z[f] += scaled * difference
                for g in range(f + 1):
                    L[f, g] += scaled * loadings[c, d, g]
    for f in range(n_factors):
        for g in range(f):
            for k in range(g):
                L[f, g] -= L[f, k] * L[g, k]
            L[f, g] /= L[g, g]
            L[f, f] -= L[f, g] * L[f, g]
            z[f] -= L[f, g] * z[g]
        # M is the identity and more, so that no pivot is below 1 but by rounding.
        L[f, f] = np.sqrt(max(L[f, f], 1.0))
        z[f] /= L[f, f]
        total += 0.5 * z[f] * z[f] - np.log(L[f, f])
    for f in range(n_factors - 1, -1, -1):
        for g in range(f + 1, n_factors):
            z[f] -= L[g, f] * z[g]
        z[f] /= L[f, f]
    return total


@inner_kernel
def _prefetch_tables(c: int, n_factors: int, means: Any, halves: Any, directions: Any) -> None:
    """Have what a row is compared with brought near: most components are far from the one before, in memory."""
    prefetch_row(means, c)
    prefetch_row(halves, c)
    for f in range(n_factors):
        prefetch_row(directions, c * n_factors + f)


@kernel
def fill_log_joint(
    values: Any, seen: Any, is_complete: Any, means: Any, halves: Any, logs: Any, directions: Any, loadings: Any,
    constants: Any, log_pi: Any, scratch: Any, codes: Any, result: Any,
) -> None:  # fmt: skip
    """Fill (n, S) with log joints; scratch (2, D') is worked with."""
    n_components, n_factors = np.uint64(means.shape[0]), loadings.shape[2]
    z, L = np.empty(n_factors), np.empty((n_factors, n_factors))
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if codes[n, s, 0] >= n_components:
                result[n, s] = -np.inf
                continue
            c = np.int64(codes[n, s, 0])
            if s + 1 < codes.shape[1] and codes[n, s + 1, 0] < n_components:
                _prefetch_tables(np.int64(codes[n, s + 1, 0]), n_factors, means, halves, directions)
            if is_complete[n]:
                total = -_compare(values, n, c, means, halves, directions, scratch, z)
                for f in range(n_factors):
                    total += 0.5 * z[f] * z[f]
                result[n, s] = constants[c] + total
            else:
                found = _condition(values, seen, n, c, means, halves, logs, loadings, L, z)
                result[n, s] = log_pi[c] + found


@inner_kernel(error_model="numpy")
def _predict(c: int, means: Any, loadings: Any, z: Any, scratch: Any) -> None:
    """Fill scratch[0] with W + A z."""
    for d in range(loadings.shape[1]):
        total = means[c, d]
        for f in range(z.shape[0]):
            total += loadings[c, d, f] * z[f]
        scratch[0, d] = total


@inner_kernel(error_model="numpy")
def _times(matrix: Any, c: int, vector: Any, result: Any) -> None:
    """Fill result (F,) with the matrix of component c times a vector."""
    for f in range(result.shape[0]):
        result[f] = 0.0
        for g in range(result.shape[0]):
            result[f] += matrix[c, f, g] * vector[g]


@inner_kernel(error_model="numpy")
def _add_multiple(factor: float, rows: Any, r: int, sums: Any, place: int) -> None:
    """Add a multiple of row r to a row of sums (m, D)."""
    n_observed, factors = sums.shape[1], all_lanes(factor)
    whole = n_observed - n_observed % LANES
    for d in range(0, whole, LANES):
        store(sums, place, d, plus_product(load(sums, place, d), factors, load(rows, r, d)))
    for d in range(whole, n_observed):
        sums[place, d] += factor * rows[r, d]


@inner_kernel(error_model="numpy")
def _add_row(
    c: int, weight: float, scratch: Any, zeta: Any, y: Any, y_y: Any, y_z: Any, z: Any, z_z: Any
) -> None:  # fmt: skip
    """Add the products of a row, which is scratch[0], and of its factors (F,), weighted; y_z is (C F, D)."""
    total, n_factors = all_lanes(0.0), zeta.shape[0]
    for d in range(0, scratch.shape[1], LANES):
        square = times(load(scratch, 0, d), load(scratch, 0, d))
        store(scratch, 1, d, square)
        total = plus(total, square)
    _add_multiple(weight, scratch, 0, y, c)
    if y_y.shape[1] == y.shape[1]:
        _add_multiple(weight, scratch, 1, y_y, c)
    else:
        y_y[c, 0] += weight * sum_of_lanes(total)
    for f in range(n_factors):
        weighted = weight * zeta[f]
        _add_multiple(weighted, scratch, 0, y_z, c * n_factors + f)
        z[c, f] += weighted
        for g in range(n_factors):
            z_z[c, f, g] += weighted * zeta[g]


@inner_kernel
def _add_multiples(weight: float, matrices: Any, sums: Any, c: int) -> None:
    """Add weight times one of matrices (C, F, F) to the sums of the same."""
    for f in range(sums.shape[1]):
        for g in range(sums.shape[2]):
            sums[c, f, g] += weight * matrices[c, f, g]


@inner_kernel(error_model="numpy")
def _invert(L: Any) -> float:
    """Replace a lower triangle by its inverse; the logarithm of the determinant of that."""
    log_determinant = 0.0
    for g in range(L.shape[0]):
        log_determinant -= np.log(L[g, g])
        L[g, g] = 1.0 / L[g, g]
        for f in range(g + 1, L.shape[0]):
            total = 0.0
            for k in range(g, f):
                total -= L[f, k] * L[k, g]
            L[f, g] = total / L[f, f]
    return log_determinant


@inner_kernel(error_model="numpy")
def _spread(root: Any, c: int, inverse: Any, own: Any) -> None:
    """Fill own (F, F) with root L⁻ᵀ."""
    for f in range(own.shape[0]):
        for g in range(own.shape[0]):
            own[f, g] = 0.0
            for k in range(g + 1):
                own[f, g] += root[c, f, k] * inverse[g, k]


@inner_kernel(error_model="numpy")
def _add_unknown(
    seen: Any, n: int, c: int, weight: float, halves: Any, loadings: Any, gap_entropies: Any, inverse: Any,
    own: Any, t: Any, y_y: Any, y_z: Any, z_z: Any,
) -> float:  # fmt: skip
    """Add the covariances of factors and of missing entries, weighted; the entropy of these entries given the factors.

    inverse (F, F) is L⁻¹, own (F, F) is root L⁻ᵀ.
    """
    n_factors, last, entropy = t.shape[0], y_y.shape[1] - 1, 0.0
    for f in range(n_factors):
        for g in range(n_factors):
            for k in range(n_factors):
                z_z[c, f, g] += weight * own[f, k] * own[g, k]
    for d in range(seen.shape[1]):
        if not seen[n, d]:
            variance = 0.5 / halves[c, d]
            for f in range(n_factors):
                t[f] = 0.0
                for g in range(f + 1):
                    t[f] += inverse[f, g] * loadings[c, d, g]
                variance += t[f] * t[f]
            for f in range(n_factors):
                for g in range(n_factors):
                    y_z[c * n_factors + f, d] += weight * own[f, g] * t[g]
            y_y[c, min(d, last)] += weight * variance
            entropy += gap_entropies[c, d]
    return entropy


@kernel(error_model="numpy")
def add_moments(
    values: Any, seen: Any, is_complete: Any, means: Any, halves: Any, logs: Any, directions: Any, loadings: Any,
    origin: Any, root: Any, spread: Any, entropies: Any, covariances: Any, gap_entropies: Any, codes: Any, weights: Any,
    scratch: Any, counts: Any, y: Any, y_y: Any, y_z: Any, z: Any, z_z: Any,
) -> float:  # fmt: skip
    """Add the moments of rows and factors; the entropy of what is hidden."""
    n_components, n_factors, hidden = np.uint64(means.shape[0]), loadings.shape[2], 0.0
    u, zeta = np.empty(n_factors), np.empty(n_factors)
    L, own = np.zeros((n_factors, n_factors)), np.empty((n_factors, n_factors))
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0 or codes[n, s, 0] >= n_components:
                continue
            c = np.int64(codes[n, s, 0])
            counts[c] += weight
            hidden += weight * entropies[np.int64(is_complete[n]), c]
            if is_complete[n]:
                _add_multiples(weight, covariances, z_z, c)
                _compare(values, n, c, means, halves, directions, scratch, u)
                _times(spread, c, u, zeta)
                for d in range(0, means.shape[1], LANES):
                    store(scratch, 0, d, load(values, n, d))
            else:
                _condition(values, seen, n, c, means, halves, logs, loadings, L, u)
                _times(root, c, u, zeta)
                _predict(c, means, loadings, u, scratch)
                for d in range(y.shape[1]):
                    scratch[0, d] = values[n, d] if seen[n, d] else scratch[0, d]
                hidden += weight * _invert(L)
                _spread(root, c, L, own)
                hidden += weight * _add_unknown(
                    seen, n, c, weight, halves, loadings, gap_entropies, L, own, u, y_y, y_z, z_z
                )
            for f in range(n_factors):
                zeta[f] += origin[c, f]
            _add_row(c, weight, scratch, zeta, y, y_y, y_z, z, z_z)
    return hidden


@kernel(error_model="numpy")
def add_means(
    values: Any, seen: Any, is_complete: Any, means: Any, halves: Any, logs: Any, directions: Any, loadings: Any,
    back: Any, codes: Any, weights: Any, scratch: Any, result: Any,
) -> None:  # fmt: skip
    """Add to (n, D) the mean over the components of each row of W + A <z>."""
    n_components, n_factors = np.uint64(means.shape[0]), loadings.shape[2]
    u, z, L = np.empty(n_factors), np.empty(n_factors), np.empty((n_factors, n_factors))
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0 or codes[n, s, 0] >= n_components:
                continue
            c = np.int64(codes[n, s, 0])
            if is_complete[n]:
                _compare(values, n, c, means, halves, directions, scratch, u)
                _times(back, c, u, z)
            else:
                _condition(values, seen, n, c, means, halves, logs, loadings, L, z)
            _predict(c, means, loadings, z, scratch)
            for d in range(result.shape[1]):
                result[n, d] += weight * scratch[0, d]
