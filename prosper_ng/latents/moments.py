"""Moments of the states under truncated posteriors."""

from typing import Any

import numpy as np
from numba import njit

from prosper_ng.latents.space import unpack


@njit(cache=True)
def add_moments(
    codes: Any, weights: Any, alphabet: Any, n_planes: int, plane_words: int, means: Any, counts: Any, second: Any
) -> None:
    """Add to <s> (n, H) of each row, to the counts (H, K - 1) and to the lower triangle of sum <s sᵀ> (H, H)."""
    n_latents = second.shape[0]
    latents, indices = np.empty(n_latents, np.int64), np.empty(n_latents, np.int64)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack(codes[n, s], n_planes, plane_words, latents, indices)
            for i in range(k):
                h = latents[i]
                counts[h, indices[i] - 1] += weight
                weighted = weight * alphabet[indices[i]]
                means[n, h] += weighted
                for j in range(i + 1):
                    second[h, latents[j]] += weighted * alphabet[indices[j]]
