"""Kernels of spike-and-slab models: Gaussian slabs of the active latents, integrated out.

With elements F (the dictionary in units of the noise), the active latents a of a state, G = F_aᵀF_a, b = F_aᵀy and
slabs N(mu, Psi), Psi_aa = L Lᵀ: B = I + Lᵀ G L, v = b - G mu_a, u = Lᵀ v give the posterior mean mu_a + L B⁻¹ u, the
posterior covariance L B⁻¹ Lᵀ, and
log p(y | s) = log p(y | 0) + ½ (mu_aᵀ(b + v) + uᵀ B⁻¹ u - log |B|),
stable for slabs and noise as narrow as they may be, since no eigenvalue of B is below 1.
Slabs that are independent have unit variance here: whoever calls has moved their scale into the elements, so L = I.

States with the same number k of active latents are worked on together, one in each lane (`numerics.vectors`); their
logarithms come at the end, for many states at once. A row with missing entries has a G of its own, over its observed
entries, of which only what its states need is computed.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.models.slab.lanes import (
    DETERMINANT,
    LATENTS,
    LINEAR,
    LOGARITHM,
    OWNER,
    PLACE,
    SCRATCH,
    WEIGHT,
    allocate,
    complete_grams,
    count_active,
    gather_matrices,
    gather_vectors,
    list_latents,
    sort_by_size,
)
from prosper_ng.numerics.cholesky import eliminate, factorize, inner_product, invert, invert_factor, outer_product
from prosper_ng.numerics.elementary import fast_log
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    gather,
    load,
    load_row,
    minus,
    minus_product,
    plus,
    plus_product,
    store,
    store_row,
    times,
)

_ROWS_TOGETHER = 16


@inner_kernel(error_model="numpy")
def _border(k: int, b: Any, mu: Any, G: Any, numbers: Any) -> None:
    """From G, b and mu: v in row k of G, and mu_aᵀ(b + v)."""
    linear = all_lanes(0.0)
    for i in range(k):
        v = load_row(b, i)
        for j in range(k):
            v = minus_product(v, load(G, max(i, j), min(i, j)), load_row(mu, j))
        store(G, k, i, v)
        linear = plus_product(linear, load_row(mu, i), plus(load_row(b, i), v))
    store_row(numbers, LINEAR, linear)


@inner_kernel(error_model="numpy")
def _project(k: int, G: Any, L: Any, product: Any, A: Any) -> None:
    """From Psi_aa in the place of L, and G: L, the lower triangle of Lᵀ G L, and u."""
    factorize(k, L)
    inner_product(k, L, G, product, A)
    for i in range(k):
        u = all_lanes(0.0)
        for p in range(i, k):
            u = plus_product(u, load(L, p, i), load(G, k, p))
        store(A, k, i, u)


@inner_kernel(error_model="numpy")
def _take_up(
    k: int, full: bool, b: Any, mu: Any, gram: Any, Psi: Any, states: Any, own: Any, mean: Any, G: Any, A: Any, L: Any,
    product: Any, numbers: Any,
) -> None:  # fmt: skip
    """Gather what the states in the lanes need, make the bordered matrix [[B, u], [uᵀ, 0]] of it, and eliminate B."""
    gather_vectors(k, b, mu, states, own, mean)
    gather_matrices(k, gram, states, G)
    _border(k, own, mean, G, numbers)
    if full:
        gather_matrices(k, Psi, states, L)
        _project(k, G, L, product, A)
    for i in range(k):
        store(A, i, i, plus(load(A, i, i), all_lanes(1.0)))
    store(A, k, k, all_lanes(0.0))
    eliminate(k, A, numbers)


@kernel
def log_joint_of_states(
    zero: Any, log_odds: Any, b: Any, mu: Any, gram: Any, Psi: Any, elements: Any, observed: Any, codes: Any,
    result: Any,
) -> None:  # fmt: skip
    """Fill (n, S) with the log joints of codes (n, S, words).

    zero (n,) log joints of the zero state, log_odds (H,), b (n, H), mu (H,) slab means, gram (H, H), Psi (H, H), or
    (0, 0) for independent slabs of unit variance; elements (H, D) and observed (n, D) as 0 and 1 where rows miss
    entries (`gram` is then overwritten), (0, D) where none is missing.
    """
    n_rows, n_states = codes.shape[:2]
    full, missing = Psi.shape[0] > 0, observed.shape[0] > 0
    sizes = np.empty((n_rows, n_states), np.int64)
    largest = count_active(codes, np.empty((0, n_states)), sizes)
    active, together = np.empty(mu.shape[0], np.int64), 1 if missing else _ROWS_TOGETHER
    states, numbers, own, mean, G, A, _, L, _, product = allocate(largest, full)
    order, ends = np.empty((2, together * n_states), np.int64), np.empty(largest + 2, np.int64)
    known, determinants = np.full(gram.shape if missing else (0, 0), -1), np.empty(together * n_states)
    listed, found = codes.reshape(n_rows * n_states, codes.shape[2]), result.reshape(n_rows * n_states)
    for first in range(0, n_rows, together):
        last = min(first + together, n_rows)
        sort_by_size(sizes, first, last, order, ends)
        start = ends[0]
        for k in range(largest + 1):
            while start < ends[k + 1]:
                stop = min(start + LANES, ends[k + 1])
                list_latents(k, start, stop, order, listed, active, states)
                if missing:
                    complete_grams(k, states, active, elements, observed, known, gram)
                _take_up(k, full, b, mu, gram, Psi, states, own, mean, G, A, L, product, numbers)
                _tell(k, first * n_states, stop - start, zero, log_odds, A, states, numbers, determinants, found)
                start = stop
        _subtract_logs(determinants, found[first * n_states : last * n_states])


@inner_kernel(error_model="numpy")
def log_joint_of_singles(log_odds: Any, b: Any, mu: Any, squares: Any, result: Any) -> None:
    """Fill (n, H) with what each latent alone adds to the log joint; slabs are independent, squares (H,) are G_hh."""
    for n in range(b.shape[0]):
        for h in range(b.shape[1]):
            v, precision = b[n, h] - squares[h] * mu[h], 1.0 + squares[h]
            gain = mu[h] * (b[n, h] + v) + v * v / precision - fast_log(precision)
            result[n, h] = log_odds[h] + 0.5 * gain


@inner_kernel(error_model="numpy")
def _tell(
    k: int, first: int, n_lanes: int, zero: Any, log_odds: Any, A: Any, states: Any, numbers: Any, determinants: Any,
    result: Any,
) -> None:  # fmt: skip
    """Log joints, but for the logarithms of the determinants, which are kept for later."""
    gain = minus(minus(load_row(numbers, LINEAR), load(A, k, k)), load_row(numbers, LOGARITHM))
    total = gather(zero, states, OWNER)
    for i in range(k):
        total = plus(total, gather(log_odds, states, LATENTS + i))
    store_row(numbers, SCRATCH, plus_product(total, all_lanes(0.5), gain))
    for lane in range(n_lanes):
        place = states[PLACE, lane]
        result[np.uint64(place)] = numbers[SCRATCH, lane]
        determinants[np.uint64(place - first)] = numbers[DETERMINANT, lane]


@inner_kernel(error_model="numpy")
def _subtract_logs(determinants: Any, result: Any) -> None:
    for i in range(result.shape[0]):
        result[i] -= 0.5 * fast_log(determinants[i])


@inner_kernel(error_model="numpy")
def _add_solution(k: int, A: Any, mean: Any) -> None:
    """Turn mu_a into the posterior mean, where L = I."""
    for i in range(k):
        store_row(mean, i, plus(load_row(mean, i), load(A, k, i)))


@inner_kernel(error_model="numpy")
def _return(k: int, A: Any, L: Any, inverse: Any, product: Any, mean: Any, covariance: Any, G: Any) -> None:
    """Posterior means and covariances of the slabs themselves; G gets what makes t (in row k) and T.

    t = Psi_aa⁻¹ (posterior mean - mu_a) and T = t tᵀ + G say what the active latents tell about the others.
    """
    invert_factor(k, L, inverse)
    outer_product(k, L, A, product, covariance)
    for i in range(k):
        own, t = load_row(mean, i), all_lanes(0.0)
        for p in range(i + 1):
            own = plus_product(own, load(L, i, p), load(A, k, p))
        for p in range(i, k):
            t = plus_product(t, load(inverse, p, i), load(A, k, p))
        store_row(mean, i, own)
        store(G, k, i, t)
        store(A, i, i, minus(load(A, i, i), all_lanes(1.0)))
    inner_product(k, inverse, A, product, G)


@inner_kernel(error_model="numpy")
def _add_states(
    k: int, n_lanes: int, states: Any, numbers: Any, mean: Any, covariance: Any, means: Any, counts: Any, second: Any
) -> None:
    """Add <s z>, <s> and the lower triangle of <(s z)(s z)ᵀ>."""
    weight, one = load_row(numbers, WEIGHT), np.uint64(1)
    # State by state, so that the sum of a row does not depend on which states of other rows stand beside its own.
    for lane in range(n_lanes):
        owner = np.uint64(states[OWNER, lane])
        for i in range(k):
            h = np.uint64(states[LATENTS + i, lane])
            counts[h] += numbers[WEIGHT, lane]
            means[owner, h] += numbers[WEIGHT, lane] * mean[i, lane]
    for i in range(k):
        weighted = times(weight, load_row(mean, i))
        for j in range(i + 1):
            own = times(weight, load(covariance, i, j))
            store_row(numbers, SCRATCH, plus_product(own, weighted, load_row(mean, j)))
            for lane in range(n_lanes):
                h = np.uint64(states[LATENTS + i, lane])
                second[(h * (h + one) >> one) + np.uint64(states[LATENTS + j, lane])] += numbers[SCRATCH, lane]


@inner_kernel(error_model="numpy")
def _add_influence(k: int, n_lanes: int, states: Any, numbers: Any, G: Any, shift: Any, spread: Any) -> None:
    """Add t and the lower triangle of T."""
    t, latents, weight = G[k], states[LATENTS:], numbers[WEIGHT]
    for i in range(k):
        for lane in range(n_lanes):
            shift[latents[i, lane]] += weight[lane] * t[i, lane]
        for j in range(i + 1):
            for lane in range(n_lanes):
                moment = weight[lane] * (t[i, lane] * t[j, lane] + G[i, j, lane])
                spread[latents[i, lane], latents[j, lane]] += moment


@inner_kernel(error_model="numpy")
def _add_missing(
    k: int, n_lanes: int, states: Any, numbers: Any, mean: Any, covariance: Any, elements: Any, observed: Any,
    moment: Any, y_y: Any, y_sz: Any,
) -> None:  # fmt: skip
    """Add what states say about the entries their rows miss: <y_d²> and <y_d s z>, in units of the noise."""
    latents = states[LATENTS:]
    for lane in range(n_lanes):
        weight, mask = numbers[WEIGHT, lane], observed[states[OWNER, lane]]
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
    means: Any, counts: Any, second: Any, shift: Any, spread: Any, y_y: Any, y_sz: Any,
) -> float:  # fmt: skip
    """Add the posterior moments of codes (n, S, words) with weights (n, S); sum of weights times log |B|.

    means (n, H) <s z> of each row, whose rounding does not depend on other rows; counts (H,) <s>, second the packed
    lower triangle of <(s z)(s z)ᵀ>; with Psi also shift (H,) and the lower triangle spread (H, H), sums of t and T;
    with missing entries also what they add to sum y_d² (D,) and sum y <s z>ᵀ (D, H), in units of the noise. The other
    arguments are those of `log_joint_of_states`.
    """
    n_rows, n_states = codes.shape[:2]
    full, missing = Psi.shape[0] > 0, observed.shape[0] > 0
    sizes = np.empty((n_rows, n_states), np.int64)
    largest = count_active(codes, weights, sizes)
    active, together = np.empty(mu.shape[0], np.int64), 1 if missing else _ROWS_TOGETHER
    states, numbers, own, mean, G, A, covariance, L, inverse, product = allocate(largest, full)
    order, ends = np.empty((2, together * n_states), np.int64), np.empty(largest + 2, np.int64)
    known, determinants = np.full(gram.shape if missing else (0, 0), -1), np.ones(together * n_states)
    listed, shares = codes.reshape(n_rows * n_states, codes.shape[2]), weights.reshape(n_rows * n_states)
    moment, log_determinant = np.empty((largest, largest)), 0.0
    for first in range(0, n_rows, together):
        last = min(first + together, n_rows)
        sort_by_size(sizes, first, last, order, ends)
        start = ends[0]
        for k in range(largest + 1):
            while start < ends[k + 1]:
                stop = min(start + LANES, ends[k + 1])
                list_latents(k, start, stop, order, listed, active, states)
                if missing:
                    complete_grams(k, states, active, elements, observed, known, gram)
                _take_up(k, full, b, mu, gram, Psi, states, own, mean, G, A, L, product, numbers)
                _solve(k, full, A, L, inverse, product, mean, covariance, G)
                log_determinant += _take_weights(first * n_states, stop - start, shares, states, numbers, determinants)
                _add_states(k, stop - start, states, numbers, mean, covariance, means, counts, second)
                if full:
                    _add_influence(k, stop - start, states, numbers, G, shift, spread)
                if missing:
                    _add_missing(
                        k, stop - start, states, numbers, mean, covariance, elements, observed, moment, y_y, y_sz
                    )  # fmt: skip
                start = stop
        log_determinant += _weighted_logs(determinants, shares[first * n_states : last * n_states])
    return log_determinant


@inner_kernel(error_model="numpy")
def _solve(k: int, full: bool, A: Any, L: Any, inverse: Any, product: Any, mean: Any, covariance: Any, G: Any) -> None:
    """Posterior means and covariances, once B is eliminated."""
    invert(k, A)
    if full:
        _return(k, A, L, inverse, product, mean, covariance, G)
    else:
        _add_solution(k, A, mean)


@inner_kernel(error_model="numpy")
def _take_weights(first: int, n_lanes: int, weights: Any, states: Any, numbers: Any, determinants: Any) -> float:
    """Find the weights of some states, and keep their determinants; sum of weights times the logarithms at hand."""
    total = 0.0
    for lane in range(n_lanes):
        place = states[PLACE, lane]
        weight = weights[np.uint64(place)]
        numbers[WEIGHT, lane] = weight
        total += weight * numbers[LOGARITHM, lane]
        determinants[np.uint64(place - first)] = numbers[DETERMINANT, lane]
    return total


# Partial sums of their own for each lane of a vector instruction.
@inner_kernel(error_model="numpy", fastmath={"reassoc", "nsz"})
def _weighted_logs(determinants: Any, weights: Any) -> float:
    total = 0.0
    for i in range(weights.shape[0]):
        total += weights[i] * fast_log(determinants[i])
    return total


@kernel
def add_means(
    b: Any, mu: Any, gram: Any, Psi: Any, elements: Any, observed: Any, codes: Any, weights: Any, means: Any
) -> None:
    """Add the posterior means <s z> (n, H), each row for itself.

    The arguments are those of `add_moments`.
    """
    n_latents, n_joint = mu.shape[0], Psi.shape[0]
    n_missing = elements.shape[1] if observed.shape[0] > 0 else 0
    counts, second = np.zeros(n_latents), np.zeros(n_latents * (n_latents + 1) // 2)
    shift, spread = np.zeros(n_joint), np.zeros((n_joint, n_joint))
    y_y, y_sz = np.zeros(n_missing), np.zeros((n_missing, n_latents))
    add_moments(
        b, mu, gram, Psi, elements, observed, codes, weights, means, counts, second, shift, spread, y_y, y_sz
    )  # fmt: skip
