"""Kernels of maximal causes with any observable; `ef_mca` says what they compute.

Tables hold the background first, then the latents; their entries are padded to whole vectors of 8, with zeros, so that
what is behind the last adds nothing. Facts and natural parameters have L + 1 pieces, one after the other in a row: T
and eta, and at last whether the entry was observed and -A. So the score of a cause, the log probability of an entry if
the cause wins it, is a sum of L + 1 products, whatever the observable.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.neighbors import all_but
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.vectors import (
    LANES,
    all_lanes,
    larger,
    load,
    minus,
    plus,
    plus_product,
    store,
    sum_of_lanes,
    times,
    where_larger,
)


@kernel
def _room(means: Any) -> Any:
    """Latents (H,), the row that each cause was scored for, and scores (1 + H, D')."""
    return np.empty(means.shape[0] - 1, np.int64), np.full(means.shape[0], -1), np.empty(means.shape)


@inner_kernel
def _score(facts: Any, n: int, natural: Any, j: int, known: Any, scores: Any) -> None:
    """Fill the scores of cause j in row n, unless they are there."""
    if known[j] == n:
        return
    known[j] = n
    width = scores.shape[1]
    for d in range(0, width, LANES):
        total = times(load(facts, n, d), load(natural, j, d))
        for piece in range(width, natural.shape[1], width):
            total = plus_product(total, load(facts, n, piece + d), load(natural, j, piece + d))
        store(scores, j, d, total)


@inner_kernel
def _add_causes(means: Any, scores: Any, latents: Any, k: int, won: Any) -> float:
    """Put the largest mean of the background and k latents into row 0, its score into row 1; the sum of the scores."""
    sums = all_lanes(0.0)
    for d in range(0, means.shape[1], LANES):
        best, score = load(means, 0, d), load(scores, 0, d)
        for i in range(k):
            j = latents[i] + 1
            score = where_larger(load(means, j, d), best, load(scores, j, d), score)
            best = larger(best, load(means, j, d))
        store(won, 0, d, best)
        store(won, 1, d, score)
        sums = plus(sums, score)
    return sum_of_lanes(sums)


@inner_kernel
def _sum_with(means: Any, scores: Any, j: int, won: Any) -> float:
    """The sum of the scores if cause j is added to those that have won."""
    sums = all_lanes(0.0)
    for d in range(0, means.shape[1], LANES):
        sums = plus(sums, where_larger(load(means, j, d), load(won, 0, d), load(scores, j, d), load(won, 1, d)))
    return sum_of_lanes(sums)


@kernel
def fill_log_joint(
    constant: Any, facts: Any, means: Any, natural: Any, log_odds: Any, codes: Any, result: Any
) -> None:  # fmt: skip
    """Fill (n, S) with the log joints of codes (n, S, words)."""
    latents, known, scores = _room(means)
    won = np.empty((2, means.shape[1]))
    for n in range(codes.shape[0]):
        _score(facts, n, natural, 0, known, scores)
        of_row = codes[n]
        for s in range(codes.shape[1]):
            k, total = unpack_binary(of_row, s, latents), constant[n]
            for i in range(k):
                total += log_odds[latents[i]]
                _score(facts, n, natural, latents[i] + 1, known, scores)
            result[n, s] = total + _add_causes(means, scores, latents, k, won)


@kernel
def fill_neighbors(
    neighborhood: Any, constant: Any, facts: Any, means: Any, natural: Any, log_odds: Any, found: Any
) -> None:  # fmt: skip
    """Fill the log joints of the neighbors of a neighborhood."""
    latents, known, scores = _room(means)
    base, won = np.empty_like(latents), np.empty((2, means.shape[1]))
    for m in range(neighborhood.parents.shape[0]):
        n = neighborhood.first_row + m
        for j in range(means.shape[0]):
            _score(facts, n, natural, j, known, scores)
        k = unpack_binary(neighborhood.parents, m, latents)
        for left_out in range(-1, k):
            place, total = neighborhood.starts[m] + 1 + left_out, constant[n]
            size = all_but(latents, k, left_out, base)
            for i in range(size):
                total += log_odds[base[i]]
            found.bases[place] = total + _add_causes(means, scores, base, size, won)
            for h in range(log_odds.shape[0]):
                found.switched[place, h, 0] = total + log_odds[h] + _sum_with(means, scores, h + 1, won)
            for i in range(size):
                found.switched[place, base[i]] = -np.inf


@inner_kernel
def _share(weight: float, means: Any, latents: Any, k: int, shares: Any) -> None:
    """Give the weight, for each entry, to the first of the background and k latents whose mean is the largest."""
    for d in range(0, means.shape[1], LANES):
        best = load(means, 0, d)
        for i in range(k):
            best = larger(best, load(means, latents[i] + 1, d))
        left = all_lanes(weight)
        for i in range(-1, k):
            j = 0 if i < 0 else latents[i] + 1
            share = where_larger(best, load(means, j, d), all_lanes(0.0), left)
            store(shares, j, d, plus(load(shares, j, d), share))
            left = minus(left, share)


@inner_kernel
def _add_facts(facts: Any, n: int, shares: Any, j: int, A_T: Any) -> None:
    """Add what cause j has of row n to its sums, and empty its shares."""
    width = shares.shape[1]
    for d in range(0, width, LANES):
        share = load(shares, j, d)
        for piece in range(0, A_T.shape[1], width):
            store(A_T, j, piece + d, plus_product(load(A_T, j, piece + d), share, load(facts, n, piece + d)))
        store(shares, j, d, all_lanes(0.0))


@kernel
def add_shares(facts: Any, means: Any, codes: Any, weights: Any, counts: Any, A_T: Any) -> None:
    """Add to the counts (H,) and to what each cause wins of the facts, (1 + H, (L + 1) D')."""
    latents, known, shares = _room(means)
    shares[...] = 0.0
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack_binary(codes[n], s, latents)
            known[0] = n
            for i in range(k):
                counts[latents[i]] += weight
                known[latents[i] + 1] = n
            _share(weight, means, latents, k, shares)
        for j in range(means.shape[0]):
            if known[j] == n:
                _add_facts(facts, n, shares, j, A_T)


@kernel
def add_means(means: Any, codes: Any, weights: Any, result: Any) -> None:
    """Add to (n, D) the mean over the states of each row of the largest means."""
    latents = np.empty(means.shape[0] - 1, np.int64)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack_binary(codes[n], s, latents)
            for d in range(result.shape[1]):
                best = means[0, d]
                for i in range(k):
                    best = max(best, means[latents[i] + 1, d])
                result[n, d] += weight * best
