"""States of spike-and-slab models side by side: those with the same number of active latents, one in each lane."""

from typing import Any, NamedTuple

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.bits import count_ones

LANES = 32
MATRIX_SIZE = 1 << 16


class Lanes(NamedTuple):
    """Working memory for states of up to k active latents each."""

    owner: Any
    """(lanes,) the row of each state."""
    place: Any
    """(lanes,) its number in the row."""
    latents: Any
    """(k, lanes) its active latents, in ascending order."""
    weight: Any
    """(lanes,) its weight."""
    gram: Any
    """(k + 1, k + 1, lanes) G; row k holds v."""
    bordered: Any
    """(k + 1, k + 1, lanes) [[B, u], [uᵀ, 0]]; the memory of `gram` where L = I."""
    factor: Any
    """(k, k, lanes) L; nothing where L = I."""
    inverse: Any
    """(k, k, lanes) L⁻¹; nothing where L = I."""
    product: Any
    """(k, k, lanes) scratch; nothing where L = I."""
    covariance: Any
    """(k, k, lanes) the posterior covariance; the memory of `bordered` where L = I."""
    b: Any
    """(k, lanes)."""
    mean: Any
    """(k, lanes) mu_a, later the posterior mean."""
    linear: Any
    """(lanes,) mu_aᵀ(b + v)."""
    log_determinant: Any
    """(lanes,) log |B|."""
    scratch: Any
    """(3, lanes)."""


@kernel
def allocate(largest: int, full: bool) -> Any:
    """Memory for states of up to `largest` active latents; `full` says whether slabs have a covariance."""
    k = largest + 1
    n_lanes = max(1, min(LANES, MATRIX_SIZE // k**2))
    own = k if full else 0
    gram = np.zeros((k, k, n_lanes))
    bordered = np.zeros((k, k, n_lanes)) if full else gram
    covariance = np.empty((k, k, n_lanes)) if full else bordered
    return Lanes(
        np.empty(n_lanes, np.int64), np.empty(n_lanes, np.int64), np.empty((k, n_lanes), np.int64), np.empty(n_lanes),
        gram, bordered, np.empty((own, own, n_lanes)), np.empty((own, own, n_lanes)), np.empty((own, own, n_lanes)),
        covariance, np.empty((k, n_lanes)), np.empty((k, n_lanes)), np.empty(n_lanes), np.empty(n_lanes),
        np.empty((3, n_lanes)),
    )  # fmt: skip


@kernel
def count_active(codes: Any, weights: Any, sizes: Any) -> Any:
    """Fill sizes (n, S), -1 for states without weight; the largest. Weights (0, S) mean that all states count."""
    largest = np.int64(0)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if weights.shape[0] > 0 and weights[n, s] == 0.0:
                sizes[n, s] = -1
                continue
            size = np.int64(0)
            for w in range(codes.shape[2]):
                size += np.int64(count_ones(codes[n, s, w]))
            sizes[n, s] = size
            largest = max(largest, size)
    return largest


@kernel
def sort_by_size(sizes: Any, first: int, last: int, order: Any, ends: Any) -> None:
    """Order the states of some rows by size; `order` (2, .) gets n and s, `ends[k]` where those of size k end."""
    n_states = sizes.shape[1]
    ends[:] = 0
    for n in range(first, last):
        for s in range(n_states):
            if sizes[n, s] >= 0:
                ends[sizes[n, s]] += 1
    total = 0
    for k in range(ends.shape[0]):
        total += ends[k]
        ends[k] = total - ends[k]
    for n in range(first, last):
        for s in range(n_states):
            k = sizes[n, s]
            if k >= 0:
                order[0, ends[k]], order[1, ends[k]] = n, s
                ends[k] += 1


@kernel
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


@kernel
def _complete_gram(n: int, latents: Any, elements: Any, mask: Any, known: Any, gram: Any) -> None:
    """Make sure that G of row n is there for all pairs of the latents; known (H, H) says of which row an entry is."""
    for i in range(latents.shape[0]):
        h = latents[i]
        for j in range(i + 1):
            if known[h, latents[j]] != n:
                known[h, latents[j]] = n
                gram[h, latents[j]] = _masked_product(elements[h], elements[latents[j]], mask)


@kernel
def _gather(k: int, first: int, last: int, matrix: Any, latents: Any, result: Any) -> None:
    """Lower triangles of the sub-matrices of the active latents, for some lanes."""
    for i in range(k):
        for j in range(i + 1):
            for lane in range(first, last):
                result[i, j, lane] = matrix[latents[i, lane], latents[j, lane]]


@kernel
def load_states(
    k: int, states: Any, codes: Any, b: Any, mu: Any, gram: Any, Psi: Any, elements: Any, observed: Any, known: Any,
    lanes: Any,
) -> None:  # fmt: skip
    """Gather everything about some states, given as (2, lanes) n and s, of k active latents."""
    n_lanes, n_latents = states.shape[1], mu.shape[0]
    active = np.empty(n_latents, np.int64)
    owner, latents = lanes.owner, lanes.latents
    for lane in range(n_lanes):
        n, s = states[0, lane], states[1, lane]
        owner[lane], lanes.place[lane] = n, s
        unpack_binary(codes[n], s, active)
        for i in range(k):
            latents[i, lane] = active[i]
        if observed.shape[0] > 0:
            _complete_gram(n, active[:k], elements, observed[n], known, gram)
            _gather(k, lane, lane + 1, gram, latents, lanes.gram)
    if observed.shape[0] == 0:
        _gather(k, 0, n_lanes, gram, latents, lanes.gram)
    if Psi.shape[0] > 0:
        _gather(k, 0, n_lanes, Psi, latents, lanes.factor)
    for i in range(k):
        for lane in range(n_lanes):
            lanes.b[i, lane] = b[owner[lane], latents[i, lane]]
            lanes.mean[i, lane] = mu[latents[i, lane]]
