"""Spike-and-slab states of at most one active latent, in closed form; the slabs are independent, of unit variance.

What `kernels` does with matrices, for matrices of one number: with g = G_hh and v = b_h - g mu_h a slab's posterior has
variance 1 / (1 + g) and mean mu_h + v / (1 + g), and
log p(y | s) = log p(y | 0) + ½ (mu_h (b_h + v) + v² / (1 + g) - log(1 + g)).
States that were dealt with here get the size -1, by which others know them.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.numerics.bits import lowest_bit


@kernel(error_model="numpy")
def _only_active(codes: Any, s: int) -> Any:
    """The active latent of one of the codes (S, words), which has one."""
    h, none = np.uint64(0), np.uint64(64)
    for w in range(np.uint64(codes.shape[1])):
        position = lowest_bit(codes[s, w])
        h = w * none + position if position < none else h
    return h


@kernel(error_model="numpy")
def _posterior_variances(gram: Any) -> Any:
    """1 / (1 + g) (H,) and log(1 + g) (H,)."""
    variance, log_determinant = np.empty(gram.shape[0]), np.empty(gram.shape[0])
    for h in range(gram.shape[0]):
        variance[h] = 1.0 / (1.0 + gram[h, h])
        log_determinant[h] = np.log(1.0 + gram[h, h])
    return variance, log_determinant


@kernel(error_model="numpy")
def log_joint_of_singles(
    zero: Any, log_odds: Any, b: Any, mu: Any, gram: Any, codes: Any, sizes: Any, result: Any
) -> None:
    """Fill in the log joints of the states of size 0 and 1; arguments as in `kernels.log_joint_of_states`."""
    variance, log_determinant = _posterior_variances(gram)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if sizes[n, s] == 1:
                h = _only_active(codes[n], s)
                v = b[n, h] - gram[h, h] * mu[h]
                gain = mu[h] * (b[n, h] + v) + v * v * variance[h] - log_determinant[h]
                result[n, s] = zero[n] + log_odds[h] + 0.5 * gain
                sizes[n, s] = -1
            elif sizes[n, s] == 0:
                result[n, s] = zero[n]
                sizes[n, s] = -1


@kernel(error_model="numpy")
def add_singles(
    b: Any, mu: Any, gram: Any, codes: Any, weights: Any, sizes: Any, means: Any, counts: Any, second: Any
) -> float:
    """Add the moments of the states of size 0 and 1, as `kernels.add_moments`; sum of weights times log(1 + g)."""
    variance, log_determinant = _posterior_variances(gram)
    squares, total = np.zeros(gram.shape[0]), 0.0
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if sizes[n, s] == 1:
                weight, h = weights[n, s], _only_active(codes[n], s)
                mean = mu[h] + (b[n, h] - gram[h, h] * mu[h]) * variance[h]
                means[n, h] += weight * mean
                counts[h] += weight
                squares[h] += weight * (mean * mean + variance[h])
                total += weight * log_determinant[h]
            if sizes[n, s] <= 1:
                sizes[n, s] = -1
    for h in range(gram.shape[0]):
        second[h * (h + 3) // 2] += squares[h]
    return total
