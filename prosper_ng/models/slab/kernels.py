"""Kernels of spike-and-slab models: Gaussian slabs of the active latents, integrated out.

With elements F (the dictionary in units of the noise), the active latents a of a state, G = F_aᵀF_a, b = F_aᵀy and
slabs N(mu, Psi), Psi_aa = L Lᵀ: B = I + Lᵀ G L, v = b - G mu_a, u = Lᵀ v give the posterior mean mu_a + L B⁻¹ u, the
posterior covariance L B⁻¹ Lᵀ, and
log p(y | s) = log p(y | 0) + ½ (mu_aᵀ(b + v) + uᵀ B⁻¹ u - log |B|),
stable for slabs and noise as narrow as they may be, since no eigenvalue of B is below 1.
Slabs that are independent have unit variance here: whoever calls has moved their scale into the elements, so L = I.

States with one active latent and independent slabs have a closed form (`singles.py`). Others with the same number k
of active latents are worked on together, one lane each (`numerics.cholesky`). A row with missing entries has a G of its
own, over its observed entries, of which only what its states need is computed.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.models.slab.lanes import LANES, MATRIX_SIZE, allocate, count_active, load_states, sort_by_size
from prosper_ng.models.slab.singles import add_singles, log_joint_of_singles
from prosper_ng.numerics.cholesky import eliminate, factorize, inner_product, invert, invert_factor, outer_product

_ROWS_TOGETHER = 16


@kernel(error_model="numpy")
def _border(k: int, n_lanes: int, full: bool, lanes: Any) -> None:
    """From G, b and mu: v, mu_aᵀ(b + v), L and the bordered matrix [[B, u], [uᵀ, 0]]."""
    G, A, L, b, mu, linear = lanes.gram, lanes.bordered, lanes.factor, lanes.b, lanes.mean, lanes.linear
    for i in range(k):
        for lane in range(n_lanes):
            G[k, i, lane] = b[i, lane] - G[i, i, lane] * mu[i, lane]
    for i in range(k):
        for j in range(i):
            for lane in range(n_lanes):
                G[k, i, lane] -= G[i, j, lane] * mu[j, lane]
            for lane in range(n_lanes):
                G[k, j, lane] -= G[i, j, lane] * mu[i, lane]
    linear[:n_lanes] = 0.0
    for i in range(k):
        for lane in range(n_lanes):
            linear[lane] += mu[i, lane] * (b[i, lane] + G[k, i, lane])
    if full:
        factorize(k, n_lanes, L)
        inner_product(k, n_lanes, L, G, lanes.product, A)
        for i in range(k):
            A[k, i, :n_lanes] = 0.0
            for p in range(i, k):
                for lane in range(n_lanes):
                    A[k, i, lane] += L[p, i, lane] * G[k, p, lane]
    for i in range(k):
        for lane in range(n_lanes):
            A[i, i, lane] += 1.0
    A[k, k, :n_lanes] = 0.0


@kernel
def log_joint_of_states(
    zero: Any,
    log_odds: Any,
    b: Any,
    mu: Any,
    gram: Any,
    Psi: Any,
    elements: Any,
    observed: Any,
    codes: Any,
    result: Any,
) -> None:
    """Fill (n, S) with the log joints of codes (n, S, words).

    zero (n,) log joints of the zero state, log_odds (H,), b (n, H), mu (H,) slab means, gram (H, H), Psi (H, H), or
    (0, 0) for independent slabs of unit variance; elements (H, D) and observed (n, D) as 0 and 1 where rows miss
    entries (`gram` is then overwritten), (0, D) where none is missing.
    """
    n_rows, n_states = codes.shape[:2]
    full, missing = Psi.shape[0] > 0, observed.shape[0] > 0
    sizes = np.empty((n_rows, n_states), np.int64)
    lanes = allocate(count_active(codes, np.empty((0, n_states)), sizes), full)
    if not (full or missing):
        log_joint_of_singles(zero, log_odds, b, mu, gram, codes, sizes, result)
    together = 1 if missing else _ROWS_TOGETHER
    order, ends = np.empty((2, together * n_states), np.int64), np.empty(lanes.gram.shape[0], np.int64)
    known = np.full(gram.shape if missing else (0, 0), -1)
    for first in range(0, n_rows, together):
        sort_by_size(sizes, first, min(first + together, n_rows), order, ends)
        start = 0
        for k in range(ends.shape[0]):
            while start < ends[k]:
                stop = min(start + lanes.owner.shape[0], ends[k])
                n_lanes = stop - start
                load_states(k, order[:, start:stop], codes, b, mu, gram, Psi, elements, observed, known, lanes)
                _border(k, n_lanes, full, lanes)
                eliminate(k, n_lanes, lanes.bordered, lanes.scratch, lanes.log_determinant)
                for lane in range(n_lanes):
                    n = lanes.owner[lane]
                    total = zero[n]
                    for i in range(k):
                        total += log_odds[lanes.latents[i, lane]]
                    gain = lanes.linear[lane] - lanes.bordered[k, k, lane] - lanes.log_determinant[lane]
                    result[n, lanes.place[lane]] = total + 0.5 * gain
                start = stop


@kernel(error_model="numpy")
def _solve(k: int, n_lanes: int, full: bool, lanes: Any) -> None:
    """Posterior means and covariances; where L is not I, `gram` gets what makes t (in row k) and T.

    t = Psi_aa⁻¹ (posterior mean - mu_a) and T = t tᵀ + gram say what the active latents tell about the others.
    """
    A, L, inverse, mean = lanes.bordered, lanes.factor, lanes.inverse, lanes.mean
    eliminate(k, n_lanes, A, lanes.scratch, lanes.log_determinant)
    invert(k, n_lanes, A)
    if not full:
        for i in range(k):
            for lane in range(n_lanes):
                mean[i, lane] += A[k, i, lane]
        return
    invert_factor(k, n_lanes, L, inverse)
    outer_product(k, n_lanes, L, A, lanes.product, lanes.covariance)
    for i in range(k):
        for p in range(i + 1):
            for lane in range(n_lanes):
                mean[i, lane] += L[i, p, lane] * A[k, p, lane]
        lanes.gram[k, i, :n_lanes] = 0.0
        for p in range(i, k):
            for lane in range(n_lanes):
                lanes.gram[k, i, lane] += inverse[p, i, lane] * A[k, p, lane]
        for lane in range(n_lanes):
            A[i, i, lane] -= 1.0
    # G has done its work; its memory takes the product.
    inner_product(k, n_lanes, inverse, A, lanes.product, lanes.gram)


@kernel
def _add_states(k: int, n_lanes: int, lanes: Any, means: Any, counts: Any, second: Any) -> None:
    """Add <s z>, <s> and the lower triangle of <(s z)(s z)ᵀ>."""
    mean, covariance, latents, weight, weighted = lanes.mean, lanes.covariance, lanes.latents, lanes.weight, lanes.b
    for i in range(k):
        for lane in range(n_lanes):
            weighted[i, lane] = weight[lane] * mean[i, lane]
            counts[latents[i, lane]] += weight[lane]
            means[lanes.owner[lane], latents[i, lane]] += weighted[i, lane]
        for j in range(i + 1):
            for lane in range(n_lanes):
                moment = weighted[i, lane] * mean[j, lane] + weight[lane] * covariance[i, j, lane]
                h = latents[i, lane]
                second[h * (h + 1) // 2 + latents[j, lane]] += moment


@kernel
def _add_influence(k: int, n_lanes: int, lanes: Any, shift: Any, spread: Any) -> None:
    """Add t and the lower triangle of T."""
    t, product, latents, weight = lanes.gram[k], lanes.gram, lanes.latents, lanes.weight
    for i in range(k):
        for lane in range(n_lanes):
            shift[latents[i, lane]] += weight[lane] * t[i, lane]
        for j in range(i + 1):
            for lane in range(n_lanes):
                moment = weight[lane] * (t[i, lane] * t[j, lane] + product[i, j, lane])
                spread[latents[i, lane], latents[j, lane]] += moment


@kernel
def _add_missing(
    k: int, n_lanes: int, lanes: Any, elements: Any, observed: Any, moment: Any, y_y: Any, y_sz: Any
) -> None:
    """Add what states say about the entries their rows miss: <y_d²> and <y_d s z>, in units of the noise."""
    mean, covariance, latents = lanes.mean, lanes.covariance, lanes.latents
    for lane in range(n_lanes):
        weight, mask = lanes.weight[lane], observed[lanes.owner[lane]]
        for i in range(k):
            for j in range(i + 1):
                moment[i, j] = moment[j, i] = weight * (mean[i, lane] * mean[j, lane] + covariance[i, j, lane])
        for d in range(elements.shape[1]):
            if mask[d] == 0.0:
                y_y[d] += weight
                for i in range(k):
                    product = 0.0
                    for j in range(k):
                        product += moment[i, j] * elements[latents[j, lane], d]
                    y_sz[d, latents[i, lane]] += product
                    y_y[d] += product * elements[latents[i, lane], d]


@kernel
def add_moments(
    b: Any, mu: Any, gram: Any, Psi: Any, elements: Any, observed: Any, codes: Any, weights: Any,
    means: Any, counts: Any, second: Any, shift: Any, spread: Any, y_y: Any, y_sz: Any, together: int = _ROWS_TOGETHER,
) -> float:  # fmt: skip
    """Add the posterior moments of codes (n, S, words) with weights (n, S); sum of weights times log |B|.

    means (n, H) <s z> of each row, counts (H,) <s>, second the packed lower triangle of <(s z)(s z)ᵀ>; with Psi also
    shift (H,) and the lower triangle spread (H, H), sums of t and T; with missing entries also what they add to
    sum y_d² (D,) and sum y <s z>ᵀ (D, H), in units of the noise. The other arguments are those of
    `log_joint_of_states`. States of `together` rows are worked on side by side.
    """
    n_rows, n_states = codes.shape[:2]
    full, missing = Psi.shape[0] > 0, observed.shape[0] > 0
    sizes = np.empty((n_rows, n_states), np.int64)
    largest = count_active(codes, weights, sizes)
    lanes, moment = allocate(largest, full), np.empty((largest, largest))
    together = 1 if missing else together
    order, ends = np.empty((2, together * n_states), np.int64), np.empty(largest + 1, np.int64)
    known = np.full(gram.shape if missing else (0, 0), -1)
    log_determinant = 0.0
    if not (full or missing):
        log_determinant = add_singles(b, mu, gram, codes, weights, sizes, means, counts, second)
    for first in range(0, n_rows, together):
        sort_by_size(sizes, first, min(first + together, n_rows), order, ends)
        start = 0
        for k in range(largest + 1):
            while start < ends[k]:
                stop = min(start + lanes.owner.shape[0], ends[k])
                load_states(k, order[:, start:stop], codes, b, mu, gram, Psi, elements, observed, known, lanes)
                _border(k, stop - start, full, lanes)
                _solve(k, stop - start, full, lanes)
                for lane in range(stop - start):
                    lanes.weight[lane] = weights[lanes.owner[lane], lanes.place[lane]]
                    log_determinant += lanes.weight[lane] * lanes.log_determinant[lane]
                _add_states(k, stop - start, lanes, means, counts, second)
                if full:
                    _add_influence(k, stop - start, lanes, shift, spread)
                if missing:
                    _add_missing(k, stop - start, lanes, elements, observed, moment, y_y, y_sz)
                start = stop
    return log_determinant


@kernel
def add_means(
    b: Any, mu: Any, gram: Any, Psi: Any, elements: Any, observed: Any, codes: Any, weights: Any, means: Any
) -> None:
    """Add the posterior means <s z> (n, H), each row for itself: how it is rounded does not depend on the others.

    The arguments are those of `add_moments`.
    """
    n_latents, n_joint, missing = mu.shape[0], Psi.shape[0], observed.shape[0] > 0
    n_missing = elements.shape[1] if missing else 0
    counts, second = np.zeros(n_latents), np.zeros(n_latents * (n_latents + 1) // 2)
    shift, spread = np.zeros(n_joint), np.zeros((n_joint, n_joint))
    y_y, y_sz = np.zeros(n_missing), np.zeros((n_missing, n_latents))
    largest = count_active(codes, weights, np.empty(codes.shape[:2], np.int64))
    # How many lanes there are is said by the largest state, which may be that of another row.
    n_together = max(codes.shape[0], 1) if MATRIX_SIZE // (largest + 1) ** 2 >= LANES else 1
    for first in range(0, codes.shape[0], n_together):
        own = slice(first, first + n_together)
        add_moments(
            b[own], mu, gram, Psi, elements, observed[own] if missing else observed, codes[own], weights[own],
            means[own], counts, second, shift, spread, y_y, y_sz, 1,
        )  # fmt: skip
