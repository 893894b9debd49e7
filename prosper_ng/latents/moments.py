"""Moments of the states under truncated posteriors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import Codes, LatentSpace, Layout, room_for_active, unpack, unpack_binary

Floats = NDArray[np.float64]


def mean_states(space: LatentSpace, codes: Codes, weights: Floats) -> Floats:
    """(n, H) <s> of each row, for codes (n, S, words) with weights (n, S)."""
    means = np.zeros((len(codes), space.n_latents))
    _add_means(codes, weights, space.values, space.layout, means)
    return means


def add_moments(codes: Any, weights: Any, alphabet: Any, layout: Layout, means: Any, counts: Any, second: Any) -> None:
    """Fill <s> (n, H) of each row; add to the counts (H, K - 1) and to the lower triangle of sum <s sᵀ>, packed."""
    if len(alphabet) == 2 and alphabet[1] == 1:
        _add_binary(codes, weights, means, counts, second)
    else:
        _add(codes, weights, alphabet, layout, means, counts, second)


@kernel(error_model="numpy")
def _add_binary(codes: Any, weights: Any, means: Any, counts: Any, second: Any) -> None:
    n_latents, zero, one = counts.shape[0], np.uint64(0), np.uint64(1)
    latents, active = np.empty(n_latents, np.int64), np.zeros(n_latents)
    for n in range(codes.shape[0]):
        for h in range(n_latents):
            means[n, h] = 0.0
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            for i in range(unpack_binary(codes[n], s, latents)):
                place = np.uint64(latents[i])
                means[n, place] += weight
                row = place * (place + one) >> one
                for j in range(i):
                    second[row + np.uint64(latents[j])] += weight
        for h in range(n_latents):
            active[h] += means[n, h]
    for h in range(n_latents):
        counts[h, zero] += active[h]
        second[h * (h + 3) // 2] += active[h]


@kernel
def _add(codes: Any, weights: Any, alphabet: Any, layout: Layout, means: Any, counts: Any, second: Any) -> None:
    latents, indices = room_for_active(layout.n_latents)
    means[...] = 0.0
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack(codes[n, s], layout, latents, indices)
            for i in range(k):
                h = latents[i]
                counts[h, indices[i] - 1] += weight
                weighted = weight * alphabet[indices[i]]
                means[n, h] += weighted
                row = h * (h + 1) // 2
                for j in range(i + 1):
                    second[row + latents[j]] += weighted * alphabet[indices[j]]


@kernel
def _add_means(codes: Any, weights: Any, alphabet: Any, layout: Layout, means: Any) -> None:
    latents, indices = room_for_active(layout.n_latents)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            if weights[n, s] == 0.0:
                continue
            for i in range(unpack(codes[n, s], layout, latents, indices)):
                means[n, latents[i]] += weights[n, s] * alphabet[indices[i]]
