"""Neighbors of states of spike-and-slab models: all latents from the posterior of the slabs that are active.

In units in which noise and independent slabs have unit variance, let a be the active latents, G = F_aᵀF, B = I + G_aa,
m the posterior mean of z_a and T = B⁻¹ G. For latent h, q_h = G_hh - sum_i G_ih T_ih is how much a row says of its slab
besides z_a, and e_h = b_h - sum_i G_ih m_i what it says: switching the latent on adds
½ ((e_h + mu_h)² / (1 + q_h) - mu_h² - log(1 + q_h)) + log odds, an integral over its slab.
Without latent i of a, q_h becomes q_h + T_ih² / (B⁻¹)_ii and e_h becomes e_h + T_ih m_i / (B⁻¹)_ii: the slab of i is
conditioned to be 0. So all bases of a parent take one inversion and one product with G.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.copying import copy
from prosper_ng.numerics.elementary import fast_log


@kernel(error_model="numpy")
def _invert(k: int, A: Any) -> None:
    """Invert the leading (k, k) block of a symmetric matrix in place, without pivots: no eigenvalue is below 1."""
    for p in range(k):
        pivot = 1.0 / A[p, p]
        A[p, p] = 1.0
        for j in range(k):
            A[p, j] *= pivot
        for i in range(k):
            if i != p:
                factor = A[i, p]
                A[i, p] = 0.0
                for j in range(k):
                    A[i, j] -= factor * A[p, j]


@kernel
def _overlaps(
    k: int, latents: Any, gram: Any, elements: Any, by_entry: Any, observed: Any, own: Any, squares: Any
) -> None:
    """Fill (k, H) with rows of G and (H,) with its diagonal, over the observed (D,) entries where these are given."""
    if observed.shape[0] == 0:
        for i in range(k):
            own[i] = gram[latents[i]]
        for h in range(squares.shape[0]):
            squares[h] = gram[h, h]
        return
    own[:k] = 0.0
    squares[:] = 0.0
    for d in range(observed.shape[0]):
        if observed[d] != 0.0:
            squares += by_entry[d] * by_entry[d]
            for i in range(k):
                own[i] += elements[latents[i], d] * by_entry[d]


@kernel(error_model="numpy")
def _posterior(k: int, latents: Any, b: Any, mu: Any, own: Any, inverse: Any, mean: Any, T: Any) -> None:
    """B⁻¹, m and T of the active latents."""
    for i in range(k):
        for j in range(k):
            inverse[i, j] = own[i, latents[j]]
        inverse[i, i] += 1.0
    _invert(k, inverse)
    for i in range(k):
        mean[i] = mu[latents[i]]
        T[i] = 0.0
    for j in range(k):
        v = b[latents[j]]
        for i in range(k):
            v -= own[j, latents[i]] * mu[latents[i]]
        for i in range(k):
            mean[i] += inverse[i, j] * v
            T[i] += inverse[i, j] * own[j]


@kernel(error_model="numpy")
def _fill(base: float, e: Any, q: Any, mu: Any, log_odds: Any, result: Any) -> None:
    """Log joints (H, 1) of a base with each latent switched on."""
    for h in range(e.shape[0]):
        precision = 1.0 + (q[h] if q[h] > 0.0 else 0.0)
        shift = e[h] + mu[h]
        gain = shift * shift / precision - mu[h] * mu[h] - fast_log(precision)
        result[h, 0] = base + (log_odds[h] + 0.5 * gain)


@kernel(error_model="numpy")
def fill_neighbors(
    neighborhood: Any, log_odds: Any, b: Any, mu: Any, gram: Any, elements: Any, by_entry: Any, observed: Any,
    found: Any,
) -> None:  # fmt: skip
    """Fill the log joints of the neighbors of a neighborhood.

    elements (H, D) and by_entry (D, H) are the same dictionary; observed (n, D), or (0, D) where nothing is missing.
    """
    n_latents = mu.shape[0]
    latents = np.empty(n_latents, np.int64)
    square = (n_latents, n_latents)
    own, T, inverse = np.empty(square), np.empty(square), np.empty(square)
    mean, e, q = np.empty(n_latents), np.empty(n_latents), np.empty(n_latents)
    less_e, less_q, nothing = np.empty(n_latents), np.empty(n_latents), np.empty(0)
    for m in range(neighborhood.parents.shape[0]):
        n, joint = neighborhood.first_row + m, neighborhood.log_joint[m]
        k = unpack_binary(neighborhood.parents, m, latents)
        _overlaps(k, latents, gram, elements, by_entry, observed[n] if observed.shape[0] > 0 else nothing, own, q)
        _posterior(k, latents, b[n], mu, own, inverse, mean, T)
        copy(b[n], e)
        for i in range(k):
            e -= mean[i] * own[i]
            q -= own[i] * T[i]
        found.bases[neighborhood.starts[m]] = joint
        _fill(joint, e, q, mu, log_odds, found.switched[neighborhood.starts[m]])
        for i in range(k):
            place, h, share = neighborhood.starts[m] + 1 + i, latents[i], 1.0 / inverse[i, i]
            gain = mean[i] * mean[i] * share - mu[h] * mu[h] - np.log(share)
            less = joint - (log_odds[h] + 0.5 * gain)
            for j in range(n_latents):
                less_e[j] = e[j] + (mean[i] * share) * T[i, j]
                less_q[j] = q[j] + share * T[i, j] * T[i, j]
            found.bases[place] = less
            _fill(less, less_e, less_q, mu, log_odds, found.switched[place])
        for base in range(k + 1):
            for i in range(k):
                if i != base - 1:
                    found.switched[neighborhood.starts[m] + base, latents[i]] = -np.inf
