"""Tables and kernels of mixtures; `mixture` says what they compute.

Tables have a row for each component, and entries padded to whole vectors of 8, with zeros, so that what is behind the
last adds nothing. Tables of a single row are shared by all components.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.sharing import row_sums, total
from prosper_ng.numerics.vectors import (
    LANES,
    aligned,
    all_lanes,
    load,
    minus,
    minus_product,
    padded,
    plus_product,
    prefetch_row,
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
    W: Floats
    """(C, D) in the units of the data."""
    log_pi: Floats
    """(C,)."""
    constants: Floats
    """(C,) log pi, and what normalizes a complete row."""
    tables: tuple[Floats, ...]
    """Of `normal`: means (C, D'), halves of inverse variances, what normalizes an entry; else eta and -A (C, P D')."""
    log_R: Floats
    """(C, K) log p(k | c), for K classes or none."""
    expected: Floats
    """(C, L D') expectation of T, for comparisons of components."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    facts: Floats
    """(n, P D') values, or T; where entries are missing whether each was observed is the last piece."""
    base: Floats
    """(n,) the base of the row, over its observed entries."""
    labels: NDArray[np.int64]
    """(n,) classes, -1 where none is known; (0,) where none is of any row."""


def scatter(W: Floats, seen: Floats, T_y: Floats, T_y_y: Floats) -> float:
    """sum_ncd q_nc (y_nd - W_dc)²."""
    return max(float(T_y_y) + total(row_sums(W * (W * seen - 2 * T_y))), 0.0)


def laid_out(pieces: Floats) -> Floats:
    """(m, P D') of (P, m, D), each piece padded with zeros to whole vectors."""
    n_pieces, m, n_dimensions = pieces.shape
    result = aligned(m, n_pieces, padded(n_dimensions))
    result[:, :, :n_dimensions] = pieces.swapaxes(0, 1)
    return result.reshape(m, n_pieces * padded(n_dimensions))


@inner_kernel
def _gaussian(facts: Any, n: int, c: int, means: Any, precisions: Any) -> float:
    """Minus half the squared distance of a complete row from a mean, in standard deviations."""
    total = all_lanes(0.0)
    for d in range(0, means.shape[1], LANES):
        difference = minus(load(facts, n, d), load(means, c, d))
        total = minus_product(total, times(difference, difference), load(precisions, c, d))
    return sum_of_lanes(total)


@inner_kernel
def _square(facts: Any, n: int, c: int, means: Any) -> float:
    """The squared distance of a complete row from a mean, by two sums neither of which waits for the other."""
    width, even, odd = means.shape[1], all_lanes(0.0), all_lanes(0.0)
    for d in range(0, width - LANES, 2 * LANES):
        one = minus(load(facts, n, d), load(means, c, d))
        other = minus(load(facts, n, d + LANES), load(means, c, d + LANES))
        even, odd = plus_product(even, one, one), plus_product(odd, other, other)
    if width % (2 * LANES) != 0:
        last = minus(load(facts, n, width - LANES), load(means, c, width - LANES))
        even = plus_product(even, last, last)
    return sum_of_lanes(plus_product(even, odd, all_lanes(1.0)))


@inner_kernel
def _gaussian_of_some(facts: Any, n: int, c: int, means: Any, precisions: Any, logs: Any) -> float:
    """The same over the observed entries, with what normalizes them."""
    row, width, total = min(c, precisions.shape[0] - 1), means.shape[1], all_lanes(0.0)
    for d in range(0, width, LANES):
        difference = minus(load(facts, n, d), load(means, c, d))
        score = minus_product(load(logs, row, d), times(difference, difference), load(precisions, row, d))
        total = plus_product(total, score, load(facts, n, width + d))
    return sum_of_lanes(total)


@kernel
def fill_gaussian(
    facts: Any, means: Any, precisions: Any, logs: Any, constants: Any, codes: Any, result: Any
) -> None:  # fmt: skip
    """Fill (n, S) with log joints; facts (n, D') are values, or (n, 2 D') with whether they were observed behind.

    Constants (C,) are log priors, of complete rows with what normalizes; precisions are halves of inverse variances.
    """
    is_complete, n_components = facts.shape[1] == means.shape[1], np.uint64(means.shape[0])
    # One row for several components is noise that all entries share.
    is_shared = precisions.shape[0] < means.shape[0]
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if codes[n, s, 0] >= n_components:
                result[n, s] = -np.inf
                continue
            c = np.int64(codes[n, s, 0])
            if s + 1 < codes.shape[1] and codes[n, s + 1, 0] < n_components:
                prefetch_row(means, np.int64(codes[n, s + 1, 0]))
            if is_complete and is_shared:
                result[n, s] = constants[c] - precisions[0, 0] * _square(facts, n, c, means)
            elif is_complete:
                result[n, s] = constants[c] + _gaussian(facts, n, c, means, precisions)
            else:
                result[n, s] = constants[c] + _gaussian_of_some(facts, n, c, means, precisions, logs)


@kernel
def fill_natural(facts: Any, natural: Any, constants: Any, base: Any, codes: Any, result: Any) -> None:
    """Fill (n, S) with log joints: sums of products of facts (n, P D') and natural parameters (C, P D' or more)."""
    n_components = np.uint64(natural.shape[0])
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if codes[n, s, 0] >= n_components:
                result[n, s] = -np.inf
                continue
            c, total = np.int64(codes[n, s, 0]), all_lanes(0.0)
            for d in range(0, facts.shape[1], LANES):
                total = plus_product(total, load(facts, n, d), load(natural, c, d))
            result[n, s] = constants[c] + base[n] + sum_of_lanes(total)


@kernel
def fill_prior(log_pi: Any, codes: Any, result: Any) -> None:
    """Fill (n, S) with log priors."""
    n_components = np.uint64(log_pi.shape[0])
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            code = codes[n, s, 0]
            result[n, s] = log_pi[np.int64(code)] if code < n_components else -np.inf


@kernel
def add_counts(codes: Any, weights: Any, counts: Any) -> None:
    """Add weights (n, S) to the counts (C,) of components."""
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if weights[n, s] != 0.0 and codes[n, s, 0] < np.uint64(counts.shape[0]):
                counts[np.int64(codes[n, s, 0])] += weights[n, s]


@kernel(error_model="numpy")
def add_rows(codes: Any, weights: Any, facts: Any, first: int, sums: Any) -> None:
    """Add to sums (C, D) entries `first` and those that follow of facts (n, ...), weighted."""
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight != 0.0 and codes[n, s, 0] < np.uint64(sums.shape[0]):
                c = np.int64(codes[n, s, 0])
                for d in range(sums.shape[1]):
                    sums[c, d] += weight * facts[n, first + d]


@kernel
def add_means(codes: Any, weights: Any, means: Any, result: Any) -> None:
    """Add to (n, D) the mean over the components of each row of means (C, D)."""
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight != 0.0 and codes[n, s, 0] < np.uint64(means.shape[0]):
                c = np.int64(codes[n, s, 0])
                for d in range(result.shape[1]):
                    result[n, d] += weight * means[c, d]
