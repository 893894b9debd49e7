"""Kernels of noisy-OR; `noisy_or` says what they compute.

What is on in a row is laid side by side for each latent, in vectors of 8 numbers: what is behind the last of them has a
leak of 1, so that its logarithm is 0 whatever the causes.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.neighbors import all_but
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.elementary import fast_log
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    exponents_of_lanes,
    load,
    load_row,
    mantissa,
    minus,
    over,
    padded,
    plus,
    plus_product,
    product_of_lanes,
    store,
    store_row,
    times,
)

_LN2 = float(np.log(2.0))
_TOGETHER = 16 * LANES
"""Probabilities of which one logarithm is taken: each is 1e-12 or more, so the product of 16 is a normal number."""


@kernel
def _room(elements: Any) -> Any:
    """Latents (H,), places and leaks (D',) of what is on, the row that each latent was gathered for, and (H, D')."""
    H, D = elements.shape
    width = padded(D)
    return np.empty(H, np.int64), np.empty(D + 1, np.int64), np.empty(width), np.full(H, -1), np.empty((H, width))


@inner_kernel
def _find_on(n: int, on: Any, leak: Any, places: Any, leaks: Any) -> int:
    """How many entries of row n are on; which, and their leaks, go to the two arrays."""
    n_on = 0
    for d in range(on.shape[1]):
        places[n_on] = d
        n_on += on[n, d] > 0.0
    for j in range(n_on):
        leaks[j] = leak[places[j]]
    for j in range(n_on, padded(n_on)):
        leaks[j] = 1.0
    return n_on


@inner_kernel
def _gather(elements: Any, h: int, places: Any, n_on: int, n: int, row: Any, gathered: Any) -> bool:
    """Lay the entries of latent h that are on in row n side by side, unless they are; whether they were not."""
    if row[h] == n:
        return False
    row[h] = n
    for j in range(n_on):
        gathered[h, j] = elements[h, places[j]]
    for j in range(n_on, padded(n_on)):
        gathered[h, j] = 0.0
    return True


@inner_kernel
def _add_causes(below: Any, gathered: Any, latents: Any, k: int, n_on: int, result: Any) -> None:
    """Fill probabilities to be on with those that k more latents make of `below`."""
    for j in range(0, n_on, LANES):
        p = load_row(below, j)
        for i in range(k):
            p = plus_product(p, minus(all_lanes(1.0), p), load(gathered, latents[i], j))
        store_row(result, j, p)


@inner_kernel(error_model="numpy")
def _log_on(below: Any, gathered: Any, latents: Any, start: int, stop: int, n_on: int) -> float:
    """Sum of the logarithms of the probabilities to be on that latents[start:stop] make of `below`."""
    total = 0.0
    for first in range(0, n_on, _TOGETHER):
        product = all_lanes(1.0)
        for j in range(first, min(first + _TOGETHER, n_on), LANES):
            p = load_row(below, j)
            for i in range(start, stop):
                p = plus_product(p, minus(all_lanes(1.0), p), load(gathered, latents[i], j))
            product = times(product, p)
        total += fast_log(product_of_lanes(mantissa(product))) + exponents_of_lanes(product) * _LN2
    return total


@kernel(error_model="numpy")
def fill_log_joint(constant: Any, linear: Any, on: Any, elements: Any, leak: Any, codes: Any, result: Any) -> None:
    """Fill (n, S) with the log joints of codes (n, S, words)."""
    latents, places, leaks, row, gathered = _room(elements)
    for n in range(codes.shape[0]):
        n_on = _find_on(n, on, leak, places, leaks)
        of_row = codes[n]
        for s in range(codes.shape[1]):
            k, total = unpack_binary(of_row, s, latents), constant[n]
            for i in range(k):
                total += linear[n, latents[i]]
                _gather(elements, latents[i], places, n_on, n, row, gathered)
            result[n, s] = total + _log_on(leaks, gathered, latents, 0, k, n_on)


@kernel(error_model="numpy")
def fill_neighbors(
    neighborhood: Any, constant: Any, linear: Any, on: Any, elements: Any, leak: Any, found: Any
) -> None:
    """Fill the log joints of the neighbors of a neighborhood."""
    latents, places, leaks, row, gathered = _room(elements)
    base, each, p = np.empty_like(latents), np.arange(len(latents)), np.empty_like(leaks)
    for m in range(neighborhood.parents.shape[0]):
        n = neighborhood.first_row + m
        n_on = _find_on(n, on, leak, places, leaks)
        for h in each:
            _gather(elements, h, places, n_on, n, row, gathered)
        k = unpack_binary(neighborhood.parents, m, latents)
        for left_out in range(-1, k):
            place, total = neighborhood.starts[m] + 1 + left_out, constant[n]
            size = all_but(latents, k, left_out, base)
            for i in range(size):
                total += linear[n, base[i]]
            _add_causes(leaks, gathered, base, size, n_on, p)
            _fill_switched(p, gathered, each, n_on, total, n, linear, place, found.bases, found.switched)
            for i in range(size):
                found.switched[place, base[i]] = -np.inf


@inner_kernel(error_model="numpy")
def _fill_switched(
    p: Any,
    gathered: Any,
    each: Any,
    n_on: int,
    total: float,
    n: int,
    linear: Any,
    place: int,
    bases: Any,
    switched: Any,
) -> None:
    """Fill the log joints of a base, with probabilities p to be on, and of it with one more latent."""
    bases[place] = total + _log_on(p, gathered, each, 0, 0, n_on)
    for h in range(each.shape[0]):
        switched[place, h, 0] = total + linear[n, h] + _log_on(p, gathered, each, h, h + 1, n_on)


@inner_kernel(error_model="numpy")
def _add_reasons_of_state(
    weight: float, leaks: Any, gathered: Any, latents: Any, k: int, n_on: int, own: Any, of_leak: Any
) -> float:
    """Add weight / p to what k latents and the leak have of it; the sum of log p over what is on."""
    total = 0.0
    for first in range(0, n_on, _TOGETHER):
        product = all_lanes(1.0)
        for j in range(first, min(first + _TOGETHER, n_on), LANES):
            p = load_row(leaks, j)
            for i in range(k):
                p = plus_product(p, minus(all_lanes(1.0), p), load(gathered, latents[i], j))
            product = times(product, p)
            share = over(all_lanes(weight), p)
            store_row(of_leak, j, plus(load_row(of_leak, j), share))
            for i in range(k):
                store(own, latents[i], j, plus(load(own, latents[i], j), share))
        total += fast_log(product_of_lanes(mantissa(product))) + exponents_of_lanes(product) * _LN2
    return total


@kernel(error_model="numpy")
def add_reasons(
    on: Any, elements: Any, leak: Any, codes: Any, weights: Any, means: Any, reasons: Any, leaks: Any
) -> float:
    """Fill <s> (n, H); add sum <s_h / p_d> (H, D) and sum <1 / p_d> (D,) over what is on; return sum <log p_d>."""
    latents, places, below, row, gathered = _room(elements)
    own, of_leak, log_on = np.empty_like(gathered), np.empty_like(below), 0.0
    for n in range(codes.shape[0]):
        n_on = _find_on(n, on, leak, places, below)
        of_leak[:] = 0.0
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack_binary(codes[n], s, latents)
            for i in range(k):
                h = latents[i]
                means[n, h] += weight
                if _gather(elements, h, places, n_on, n, row, gathered):
                    own[h] = 0.0
            log_on += weight * _add_reasons_of_state(weight, below, gathered, latents, k, n_on, own, of_leak)
        for j in range(n_on):
            leaks[places[j]] += of_leak[j]
        for h in range(elements.shape[0]):
            if row[h] == n:
                for j in range(n_on):
                    reasons[h, places[j]] += own[h, j]
    return log_on


@kernel
def add_predictions(elements: Any, leak: Any, codes: Any, weights: Any, result: Any) -> None:
    """Add to (n, D) the mean of p over the states of each row."""
    H, D = elements.shape
    latents, p = np.empty(H, np.int64), np.empty(D)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            p[:] = leak
            for i in range(unpack_binary(codes[n], s, latents)):
                h = latents[i]
                for d in range(D):
                    p[d] += (1.0 - p[d]) * elements[h, d]
            for d in range(D):
                result[n, d] += weight * p[d]
