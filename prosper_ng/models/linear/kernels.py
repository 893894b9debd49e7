"""Kernels of the models with linear superposition; `model` says what they compute."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import Layout, room_for_active, room_for_states, unpack, unpack_states
from prosper_ng.models.interface import Batch, Floats
from prosper_ng.numerics.copying import copy


class Prepared(NamedTuple):
    """What depends on the parameters only."""

    W: Floats
    """(D, H)."""
    mu: Floats
    """(D,) data mean, zeros where the model has none."""
    center: Floats
    """(D,) what the statistics of the data are about, zeros where the model has no data mean."""
    gram: Floats
    """(H, H) WᵀW / sigma²."""
    precision: float
    """1 / sigma²."""
    log_odds: Floats
    """(H, K - 1) log p(s_h = phi_k) - log p(s_h = 0)."""
    log_prior_zero: float
    """log p(s = 0)."""


class Projected(NamedTuple):
    """What depends on the rows but not on the states."""

    singletons: Floats
    """(n, H, K - 1) what a single active latent adds to the log joint of the zero state."""
    zero: Floats
    """(n,) log joint of the zero state."""
    residual: Floats
    """(n, D) y - mu where there are missing entries, 0 at these; (0, D) where all entries of all rows are observed."""
    missing: NDArray[np.bool_]
    """(n, D) which entries are missing; (0, D) where none is."""


def centered(prepared: Prepared, batch: Batch) -> Floats:
    """(n, D) rows less the center, 0 where an entry is missing."""
    if not prepared.center.any():
        return batch.values
    values = batch.values - prepared.center
    return values if batch.observed is None else np.where(batch.observed, values, 0.0)


@kernel
def log_joint_of_incomplete(
    zero: Any,
    residual: Any,
    missing: Any,
    elements: Any,
    precision: float,
    log_odds: Any,
    codes: Any,
    alphabet: Any,
    layout: Layout,
    result: Any,
) -> None:
    """Fill (n, S) with the log joints of codes (n, S, words) over the observed entries; `elements` is Wᵀ (H, D)."""
    n_dimensions = elements.shape[1]
    latents, indices = room_for_active(layout.n_latents)
    mean = np.empty(n_dimensions)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            k = unpack(codes[n, s], layout, latents, indices)
            total = zero[n]
            mean[:] = 0.0
            for i in range(k):
                total += log_odds[latents[i], indices[i] - 1]
                mean += alphabet[indices[i]] * elements[latents[i]]
            change = 0.0
            for d in range(n_dimensions):
                if not missing[n, d]:
                    change += mean[d] * (mean[d] - 2.0 * residual[n, d])
            result[n, s] = total - 0.5 * precision * change


@kernel(error_model="numpy")
def log_joint_of_states(
    zero: Any, singletons: Any, gram: Any, codes: Any, alphabet: Any, layout: Layout, result: Any
) -> None:
    """Fill (n, S) with the log joints of codes (n, S, words)."""
    if alphabet.shape[0] == 2 and alphabet[1] == 1.0:
        _log_joint_of_binary(zero, singletons, gram, codes, result)
        return
    latents, indices = room_for_active(layout.n_latents)
    for n in range(codes.shape[0]):
        for s in range(codes.shape[1]):
            total = zero[n]
            for i in range(unpack(codes[n, s], layout, latents, indices)):
                h, value = np.uint64(latents[i]), np.uint64(indices[i])
                overlap = 0.0
                for j in range(i):
                    overlap += gram[h, np.uint64(latents[j])] * alphabet[np.uint64(indices[j])]
                total += singletons[n, h, value - np.uint64(1)] - overlap * alphabet[value]
            result[n, s] = total


@kernel(error_model="numpy")
def _log_joint_of_binary(zero: Any, singletons: Any, gram: Any, codes: Any, result: Any) -> None:
    first = np.uint64(0)
    latents, ends = room_for_states(codes.shape[1], gram.shape[0])
    for n in range(codes.shape[0]):
        unpack_states(codes[n], latents, ends)
        begin = 0
        for s in range(codes.shape[1]):
            total, end = zero[n], ends[s]
            for i in range(begin, end):
                h = np.uint64(latents[np.uint64(i)])
                overlap = 0.0
                for j in range(begin, i):
                    overlap += gram[h, np.uint64(latents[np.uint64(j)])]
                total += singletons[n, h, first] - overlap
            begin, result[n, s] = end, total


@kernel
def add_missing_moments(
    missing: Any,
    elements: Any,
    mu: Any,
    variance: float,
    codes: Any,
    weights: Any,
    alphabet: Any,
    layout: Layout,
    y: Any,
    y_y: Any,
    y_s: Any,
) -> np.int64:
    """Complete sum y (D,), sum yᵀy (1,) and sum y<s>ᵀ (D, H) by the missing entries; how many there are."""
    n_dimensions = elements.shape[1]
    latents, indices = room_for_active(layout.n_latents)
    mean = np.empty(n_dimensions)
    n_missing = np.int64(0)
    for n in range(codes.shape[0]):
        if not np.any(weights[n]):
            continue
        n_missing += np.count_nonzero(missing[n])
        for s in range(codes.shape[1]):
            weight = weights[n, s]
            if weight == 0.0:
                continue
            k = unpack(codes[n, s], layout, latents, indices)
            copy(mu, mean)
            for i in range(k):
                mean += alphabet[indices[i]] * elements[latents[i]]
            for d in range(n_dimensions):
                if missing[n, d]:
                    y[d] += weight * mean[d]
                    y_y[0] += weight * (mean[d] * mean[d] + variance)
                    for i in range(k):
                        y_s[d, latents[i]] += weight * mean[d] * alphabet[indices[i]]
    return n_missing
