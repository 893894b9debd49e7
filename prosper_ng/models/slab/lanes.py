"""States of spike-and-slab models side by side: those with the same number of active latents, one in each lane."""

from typing import Any, NamedTuple

import numpy as np

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.bits import count_ones
from prosper_ng.numerics.vectors import LANES, gather, gather_pairs, store, store_row


class Lanes(NamedTuple):
    """Working memory for `LANES` states of up to k active latents each.

    Kernels that are called for every few states take its arrays one by one: uses of those in a tuple are counted.
    """

    states: Any
    """(k + 2, LANES) the row of each state, its number among all, then its active latents in ascending order."""
    numbers: Any
    """(5, LANES) what each state has one of, see `LINEAR` and the others."""
    b: Any
    """(k, LANES)."""
    mean: Any
    """(k, LANES) mu_a, later the posterior mean."""
    gram: Any
    """(k + 1, k + 1, LANES) G; row k holds v."""
    bordered: Any
    """(k + 1, k + 1, LANES) [[B, u], [uᵀ, 0]]; the memory of `gram` where L = I."""
    covariance: Any
    """(k, k, LANES) the posterior covariance; the memory of `gram` where L = I."""
    factor: Any
    """(k, k, LANES) L; nothing where L = I."""
    inverse: Any
    """(k, k, LANES) L⁻¹; nothing where L = I."""
    product: Any
    """(k, k, LANES) scratch; nothing where L = I."""


OWNER, PLACE, LATENTS = 0, 1, 2
"""Rows of `Lanes.states`."""
DETERMINANT, LOGARITHM, LINEAR, WEIGHT, SCRATCH = range(5)
"""Rows of `Lanes.numbers`: the two that make log |B|, see `numerics.cholesky.eliminate`, and mu_aᵀ(b + v)."""


@kernel
def allocate(largest: int, full: bool) -> Any:
    """Memory for states of up to `largest` active latents; `full` says whether slabs have a covariance."""
    k = largest + 1
    own = k if full else 0
    gram = np.zeros((k, k, LANES))
    return Lanes(
        np.empty((k + LATENTS, LANES), np.int64), np.empty((5, LANES)), np.empty((k, LANES)), np.empty((k, LANES)),
        gram, np.zeros((k, k, LANES)) if full else gram, np.empty((k, k, LANES)) if full else gram,
        np.empty((own, own, LANES)), np.empty((own, own, LANES)), np.empty((own, own, LANES)),
    )  # fmt: skip


@inner_kernel(error_model="numpy")
def count_active(codes: Any, weights: Any, sizes: Any) -> Any:
    """Fill sizes (n, S), -1 for states without weight; the largest. Weights (0, S) mean that all states count."""
    largest = np.int64(0)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            size = np.int64(0)
            for w in range(codes.shape[2]):
                size += np.int64(count_ones(codes[n, s, w]))
            sizes[n, s] = size
        if weights.shape[0] > 0:
            for s in range(codes.shape[1]):
                sizes[n, s] = sizes[n, s] if weights[n, s] != 0.0 else -1
        for s in range(codes.shape[1]):
            largest = max(largest, sizes[n, s])
    return largest


@inner_kernel(error_model="numpy")
def sort_by_size(sizes: Any, first: int, last: int, order: Any, ends: Any) -> None:
    """Order the states of some rows by size: `order` (2, .) gets n and n S + s, `ends[k + 1]` the end of size k.

    Those of size -1, which do not count, come first: to pass them over would cost more, a guess for each state.
    """
    n_states = sizes.shape[1]
    for k in range(ends.shape[0]):
        ends[k] = 0
    for n in range(first, last):
        for s in range(n_states):
            ends[np.uint64(sizes[n, s] + 1)] += 1
    total = 0
    for k in range(ends.shape[0]):
        total += ends[k]
        ends[k] = total - ends[k]
    for n in range(first, last):
        for s in range(n_states):
            bin_of = np.uint64(sizes[n, s] + 1)
            place = np.uint64(ends[bin_of])
            order[0, place] = n
            order[1, place] = n * n_states + s
            ends[bin_of] += 1


@inner_kernel(error_model="numpy")
def _masked_product(x: Any, y: Any, mask: Any) -> float:
    """sum of x y mask, in four interleaved sums, which a processor can work on at the same time."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = x.shape[0] // 4 * 4
    for i in range(0, whole, 4):
        a += x[i] * y[i] * mask[i]
        b += x[i + 1] * y[i + 1] * mask[i + 1]
        c += x[i + 2] * y[i + 2] * mask[i + 2]
        d += x[i + 3] * y[i + 3] * mask[i + 3]
    for i in range(whole, x.shape[0]):
        a += x[i] * y[i] * mask[i]
    return (a + b) + (c + d)


@inner_kernel(error_model="numpy")
def _complete_gram(n: int, latents: Any, elements: Any, mask: Any, known: Any, gram: Any) -> None:
    """Make sure that G of row n is there for all pairs of the latents; known (H, H) says of which row an entry is."""
    for i in range(latents.shape[0]):
        h = latents[i]
        for j in range(i + 1):
            if known[h, latents[j]] != n:
                known[h, latents[j]] = n
                gram[h, latents[j]] = _masked_product(elements[h], elements[latents[j]], mask)


@inner_kernel(error_model="numpy")
def gather_matrices(k: int, matrix: Any, states: Any, result: Any) -> None:
    """Lower triangles of the sub-matrices of the active latents."""
    for i in range(k):
        for j in range(i + 1):
            store(result, i, j, gather_pairs(matrix, states, LATENTS + i, states, LATENTS + j))


@inner_kernel(error_model="numpy")
def list_latents(k: int, start: int, stop: int, order: Any, codes: Any, active: Any, states: Any) -> None:
    """Fill in the states start..stop of an order of codes (n S, words), k active each; the last fills up."""
    for lane in range(LANES):
        place = np.uint64(min(start + lane, stop - 1))
        states[OWNER, lane], states[PLACE, lane] = order[0, place], order[1, place]
        unpack_binary(codes, np.uint64(order[1, place]), active)
        for i in range(k):
            states[LATENTS + i, lane] = active[i]


@inner_kernel(error_model="numpy")
def complete_grams(k: int, states: Any, active: Any, elements: Any, observed: Any, known: Any, gram: Any) -> None:
    """Make sure that G is there for all latents of some states of one row."""
    for lane in range(LANES):
        n = states[OWNER, lane]
        for i in range(k):
            active[i] = states[LATENTS + i, lane]
        _complete_gram(n, active[:k], elements, observed[n], known, gram)


@inner_kernel(error_model="numpy")
def gather_vectors(k: int, rows: Any, mu: Any, states: Any, b: Any, mean: Any) -> None:
    """b and mu of the active latents."""
    for i in range(k):
        store_row(b, i, gather_pairs(rows, states, OWNER, states, LATENTS + i))
        store_row(mean, i, gather(mu, states, LATENTS + i))
