"""Kernels of the models with maximum superposition; `model` says what they compute."""

from typing import Any, NamedTuple

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import unpack_binary
from prosper_ng.models.interface import Batch, Floats
from prosper_ng.numerics.superposition import (
    Powers,
    power_mean,
    power_shares,
    room_for_superposition,
    squared_distance,
    sum_of_shares,
    superpose,
    winners,
)


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    elements: Floats
    """(H, D) W transposed, so that the entries of a latent lie side by side."""
    powers: Powers
    """What the power mean needs of W."""
    sigma: float
    """Standard deviation of the noise."""
    log_odds: Floats
    """(H,) log p(s_h = 1) - log p(s_h = 0)."""
    log_prior_zero: float
    """log p(s = 0)."""
    origin: Floats
    """(D,) a point in the middle of all W_h."""
    scaled: Floats
    """(H, D) the dictionary elements from there, in units of sigma."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    values: Floats
    """(n, D) the rows, 0 where an entry was not observed."""
    observed: Floats
    """(n, D) 1 where an entry was observed, else 0."""
    constant: Floats
    """(n,) log p(s = 0) plus the normalizer of the noise."""
    singletons: Floats
    """(n, H) log joint of each latent alone, less what depends on the row only, as matrix products give it."""
    rounding: Floats
    """(n,) a bound on the rounding error of these."""


def project(prepared: Prepared, batch: Batch) -> Projected:
    """What depends on the rows but not on the states.

    |y - W_h|² is multiplied out, from an origin in the middle of all W_h and in units of sigma.
    """
    scaled, odds, sigma = prepared.scaled, prepared.log_odds, prepared.sigma
    values = np.ascontiguousarray(batch.values, dtype=np.float64)
    observed = np.ones(values.shape) if batch.observed is None else batch.observed.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        centered, squares = (values - prepared.origin) * (1.0 / sigma), scaled * scaled
        if batch.observed is None:
            n_observed = np.full(len(values), float(values.shape[1]))
            singletons = centered @ scaled.T
            singletons += odds - 0.5 * squares.sum(axis=1)
        else:
            n_observed = observed.sum(axis=1)
            centered *= observed
            singletons = centered @ scaled.T - 0.5 * (observed @ squares.T) + odds
        largest = np.einsum("nd,nd->n", centered, centered) + (squares.sum(axis=1).max() + np.abs(odds).max())
        rounding = 2 * np.finfo(float).eps * (values.shape[1] + 8) * largest
    constant = prepared.log_prior_zero - n_observed * (0.5 * np.log(2 * np.pi) + np.log(sigma))
    return Projected(values, observed, constant, singletons, rounding)


@kernel
def log_joint_of_states(
    constant: Any,
    values: Any,
    observed: Any,
    elements: Any,
    powers: Any,
    precision: float,
    log_odds: Any,
    codes: Any,
    result: Any,
) -> None:
    """Fill (n, S) with the log joints of codes (n, S, words)."""
    latents, scratch = room_for_superposition(elements)
    squares = np.empty(elements.shape[1])
    for n in range(codes.shape[0]):
        y, seen = values[n], observed[n]
        for s in range(codes.shape[1]):
            k = unpack_binary(codes[n], s, latents)
            mean = scratch[superpose(elements, powers, latents, k, scratch)]
            total = constant[n]
            for i in range(k):
                total += log_odds[latents[i]]
            result[n, s] = total - 0.5 * precision * squared_distance(y, seen, mean, squares)


@kernel
def add_means(elements: Any, powers: Any, codes: Any, weights: Any, result: Any) -> None:
    """Add the mean of Wbar over the states of each row to `result` (n, D)."""
    n_dimensions = elements.shape[1]
    latents, scratch = room_for_superposition(elements)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight > 0.0:
                k = unpack_binary(codes[n], s, latents)
                row = superpose(elements, powers, latents, k, scratch)
                for d in range(n_dimensions):
                    result[n, d] += weight * scratch[row, d]


@kernel
def add_hard_shares(
    elements: Any, values: Any, observed: Any, codes: Any, weights: Any, counts: Any, A: Any, A_y: Any
) -> None:
    """Add to the counts (H,), to sum <A>ᵀ and to sum <A>ᵀ y (H, D) with one winner for each entry."""
    n_dimensions = elements.shape[1]
    latents, scratch = room_for_superposition(elements)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack_binary(codes[n], s, latents)
            row = winners(elements, latents, k, scratch)
            for i in range(k):
                h = latents[i]
                counts[h] += weight
                for d in range(n_dimensions):
                    share = weight * observed[n, d] if scratch[row, d] == i else 0.0
                    A[h, d] += share
                    A_y[h, d] += share * values[n, d]


@kernel
def add_soft_shares(
    elements: Any,
    powers: Any,
    values: Any,
    observed: Any,
    codes: Any,
    weights: Any,
    counts: Any,
    A: Any,
    A_y: Any,
    residual: Any,
) -> None:
    """Add to the counts (H,), to sum <A S>ᵀ and sum <A (y - Wbar + S W)>ᵀ (H, D), and to the squared residual (D,)."""
    n_dimensions, shares = elements.shape[1], np.empty(powers.powers.shape)
    latents, scratch = room_for_superposition(elements)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack_binary(codes[n], s, latents)
            power_mean(elements, powers, latents, k, scratch)
            power_shares(powers, latents, k, scratch, shares)
            for d in range(n_dimensions):
                difference = observed[n, d] * (values[n, d] - scratch[1, d])
                residual[d] += weight * difference * difference
            all_shares = scratch[0]
            sum_of_shares(k, shares, all_shares)
            for i in range(k):
                h = latents[i]
                counts[h] += weight
                for d in range(n_dimensions):
                    share = weight * observed[n, d] * shares[i, d]
                    A[h, d] += share * all_shares[d]
                    A_y[h, d] += share * (values[n, d] - scratch[1, d] + all_shares[d] * elements[h, d])
