"""Kernels of sigmoid belief nets; `sbn` says what they compute.

What is seen in a row stands as signs: 1 where an entry is on, -1 where it is off, 0 where it was not observed. Then
log p(y_d | s) is log sigmoid(sign a), and the sum over entries takes one logarithm: min(sign a, 0) less the log of
1 + exp(-|a|), whose product over entries is taken first. The lower layer is to the top one what the data are to it.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.neighbors import all_but
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.elementary import fast_exp

_TOGETHER = 512
"""Factors between 1 and 2 of which one logarithm is taken."""
_REORDERED = {"reassoc", "contract"}
"""What makes vector instructions of sums and products; NaN and infinity stay what they are."""


@kernel
def _room(net: Any) -> Any:
    """Active latents (H,), the activations (D,) and (H1,) that they make, signs (1, H1) of the lower layer."""
    H1, D = net.elements.shape
    return np.empty(len(net.log_odds), np.int64), np.empty(D), np.zeros(H1), np.empty((1, H1))


@inner_kernel
def _n_lower(latents: Any, k: int, H1: int) -> int:
    """How many of k latents, in order, are of the lower layer."""
    n_lower = 0
    for i in range(k):
        n_lower += latents[i] < H1
    return n_lower


@inner_kernel
def _activate(bias: Any, elements: Any, latents: Any, start: int, stop: int, first: int, a: Any) -> None:
    """Fill a (D,) with the biases and the elements of latents[start:stop], of which number `first` is row 0."""
    for d in range(a.shape[0]):
        a[d] = bias[d]
    for i in range(start, stop):
        h = latents[i] - first
        for d in range(a.shape[0]):
            a[d] += elements[h, d]


@inner_kernel
def _activate_top(net: Any, latents: Any, n_lower: int, k: int, a: Any, signs: Any) -> None:
    """Fill a (H1,) with what the top layer tells the lower one, and signs (1, H1) with what the lower one is."""
    _activate(net.top_bias, net.tops, latents, n_lower, k, signs.shape[1], a)
    for h in range(signs.shape[1]):
        signs[0, h] = -1.0
    for i in range(n_lower):
        signs[0, latents[i]] = 1.0


@inner_kernel(error_model="numpy", fastmath=_REORDERED)
def _log_seen(signs: Any, n: int, a: Any, elements: Any, h: int) -> float:
    """log p of what row n of signs says, for activations a and those of one more latent; h = -1 for none."""
    total, factor = 0.0, (1.0 if h >= 0 else 0.0)
    for first in range(0, a.shape[0], _TOGETHER):
        product, below = 1.0, 0.0
        for d in range(first, min(first + _TOGETHER, a.shape[0])):
            z = signs[n, d] * (a[d] + factor * elements[max(h, 0), d])
            below += min(z, 0.0)
            product *= 1.0 + abs(signs[n, d]) * fast_exp(-abs(z))
        total += below - np.log(product)
    return total


@inner_kernel
def _log_prior(net: Any, latents: Any, k: int) -> float:
    """log p of the latents that have no parents."""
    total = net.log_prior_zero
    for i in range(k):
        total += net.log_odds[latents[i]]
    return total


@kernel(error_model="numpy")
def fill_log_prior(net: Any, codes: Any, result: Any) -> None:
    """Fill (n, S) with the log priors of codes (n, S, words)."""
    latents, _, of_top, states = _room(net)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            k = unpack_binary(codes[n], s, latents)
            result[n, s] = _log_prior(net, latents, k)
            if net.tops.shape[0] > 0:
                _activate_top(net, latents, _n_lower(latents, k, len(of_top)), k, of_top, states)
                result[n, s] += _log_seen(states, 0, of_top, net.tops, -1)


@kernel(error_model="numpy")
def fill_log_joint(net: Any, signs: Any, codes: Any, result: Any) -> None:
    """Fill (n, S) with the log joints of codes (n, S, words)."""
    latents, a, of_top, states = _room(net)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            k = unpack_binary(codes[n], s, latents)
            n_lower = _n_lower(latents, k, len(of_top))
            _activate(net.bias, net.elements, latents, 0, n_lower, 0, a)
            total = _log_prior(net, latents, k) + _log_seen(signs, n, a, net.elements, -1)
            if net.tops.shape[0] > 0:
                _activate_top(net, latents, n_lower, k, of_top, states)
                total += _log_seen(states, 0, of_top, net.tops, -1)
            result[n, s] = total


@kernel(error_model="numpy")
def fill_neighbors(neighborhood: Any, net: Any, signs: Any, found: Any) -> None:
    """Fill the log joints of the neighbors of a neighborhood."""
    latents, a, of_top, states = _room(net)
    base = np.empty_like(latents)
    for m in range(neighborhood.parents.shape[0]):
        k = unpack_binary(neighborhood.parents, m, latents)
        for left_out in range(-1, k):
            place = neighborhood.starts[m] + 1 + left_out
            size = all_but(latents, k, left_out, base)
            n_lower = _n_lower(base, size, len(of_top))
            _activate(net.bias, net.elements, base, 0, n_lower, 0, a)
            if net.tops.shape[0] > 0:
                _activate_top(net, base, n_lower, size, of_top, states)
            n = neighborhood.first_row + m
            _fill_switched(net, _log_prior(net, base, size), signs, n, a, states, of_top, place, found)
            for i in range(size):
                found.switched[place, base[i]] = -np.inf


@inner_kernel(error_model="numpy")
def _fill_switched(
    net: Any, prior: float, signs: Any, n: int, a: Any, states: Any, of_top: Any, place: int, found: Any
) -> None:
    """Fill the log joints of a base, with activations `a` and `of_top`, and of it with one more latent."""
    H1, of_states = len(of_top), 0.0
    of_data = _log_seen(signs, n, a, net.elements, -1)
    if net.tops.shape[0] > 0:
        of_states = _log_seen(states, 0, of_top, net.tops, -1)
    found.bases[place] = prior + of_data + of_states
    for h in range(H1):
        switched = prior + net.log_odds[h] + of_states + of_top[h]
        found.switched[place, h, 0] = switched + _log_seen(signs, n, a, net.elements, h)
    for j in range(net.tops.shape[0]):
        switched = prior + net.log_odds[H1 + j] + of_data
        found.switched[place, H1 + j, 0] = switched + _log_seen(states, 0, of_top, net.tops, j)


@inner_kernel(error_model="numpy", fastmath=_REORDERED)
def _aim(signs: Any, n: int, a: Any) -> Any:
    """Turn activations a into a + 4 (y - sigmoid(a)), a where nothing was seen; entropy of what was, and sum of a²."""
    entropy, squares = 0.0, 0.0
    for first in range(0, a.shape[0], _TOGETHER):
        product = 1.0
        for d in range(first, min(first + _TOGETHER, a.shape[0])):
            sign, z = signs[n, d], signs[n, d] * a[d]
            e = fast_exp(-abs(z))
            less = 1.0 / (1.0 + e)
            more = e * less
            squares += a[d] * a[d]
            entropy += abs(z) * more
            product *= 1.0 + abs(sign) * e
            a[d] += 4.0 * sign * (more if z >= 0.0 else less)
        entropy += np.log(product)
    return entropy, squares


@inner_kernel
def _add_aim(weight: float, a: Any, latents: Any, start: int, stop: int, first: int, targets: Any) -> None:
    """Add weighted pseudo-targets a to those of latents[start:stop], and to those of the bias in the last row."""
    last = targets.shape[0] - 1
    for d in range(a.shape[0]):
        targets[last, d] += weight * a[d]
    for i in range(start, stop):
        h = latents[i] - first
        for d in range(a.shape[0]):
            targets[h, d] += weight * a[d]


@kernel(error_model="numpy")
def add_targets(net: Any, signs: Any, codes: Any, weights: Any, targets: Any, of_lower: Any) -> Any:
    """Add sum <t (s, 1)> (H1 + 1, D), and the same of the top layer; return sum <entropy> and sum <a²> of both."""
    latents, a, of_top, states = _room(net)
    H1, entropies, squares = len(of_top), 0.0, 0.0
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack_binary(codes[n], s, latents)
            n_lower = _n_lower(latents, k, H1)
            _activate(net.bias, net.elements, latents, 0, n_lower, 0, a)
            entropy, square = _aim(signs, n, a)
            _add_aim(weight, a, latents, 0, n_lower, 0, targets)
            entropies, squares = entropies + weight * entropy, squares + weight * square
            if net.tops.shape[0] > 0:
                _activate_top(net, latents, n_lower, k, of_top, states)
                entropy, square = _aim(states, 0, of_top)
                _add_aim(weight, of_top, latents, n_lower, k, H1, of_lower)
                entropies, squares = entropies + weight * entropy, squares + weight * square
    return entropies, squares


@kernel(error_model="numpy")
def add_predictions(net: Any, codes: Any, weights: Any, result: Any) -> None:
    """Add to (n, D) the mean of sigmoid(a) over the states of each row."""
    latents, a, of_top, _ = _room(net)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack_binary(codes[n], s, latents)
            _activate(net.bias, net.elements, latents, 0, _n_lower(latents, k, len(of_top)), 0, a)
            for d in range(a.shape[0]):
                e = fast_exp(-abs(a[d]))
                result[n, d] += weight * (1.0 if a[d] >= 0.0 else e) / (1.0 + e)
