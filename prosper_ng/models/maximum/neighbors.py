"""Neighbors of states of the models with maximum superposition: each base once, then one more latent on top of it."""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.copying import copy
from prosper_ng.numerics.elementary import fast_exp, fast_log
from prosper_ng.numerics.superposition import maximum, room_for_superposition

_SMALLEST = 1e-305


@kernel(error_model="numpy", fastmath={"reassoc", "nsz"})
def _distance(y: Any, observed: Any, mean: Any) -> float:
    """|y - mean|² over the observed entries."""
    total = 0.0
    for d in range(y.shape[0]):
        difference = observed[d] * (y[d] - mean[d])
        total += difference * difference
    return total


@kernel(error_model="numpy", fastmath={"reassoc", "nsz"})
def _distance_of_larger(y: Any, observed: Any, mean: Any, element: Any) -> float:
    """|y - m|² over the observed entries, m the entries of `mean` and of `element` that are larger in magnitude."""
    total = 0.0
    for d in range(y.shape[0]):
        both = element[d] if abs(element[d]) > abs(mean[d]) else mean[d]
        difference = observed[d] * (y[d] - both)
        total += difference * difference
    return total


@kernel(error_model="numpy")
def _root(powers: Any, more: Any, scale: Any, exponent: float, mean: Any) -> None:
    """Fill (D,) with the power mean that belongs to the sum of two arrays of powers."""
    for d in range(mean.shape[0]):
        total = powers[d] + more[d]
        size = abs(total) if abs(total) > _SMALLEST else _SMALLEST
        root = scale[d] * fast_exp(fast_log(size) * exponent)
        mean[d] = -root if total < 0.0 else root


@kernel(error_model="numpy")
def fill_neighbors(
    neighborhood: Any, values: Any, observed: Any, elements: Any, powers: Any, scale: Any, rho: float, precision: float,
    constant: Any, log_odds: Any, found: Any,
) -> None:  # fmt: skip
    """Fill the log joints of the neighbors of a neighborhood; arguments as in `Projected` and `Prepared`."""
    n_latents, n_dimensions = elements.shape
    latents, scratch = room_for_superposition(elements)
    base, mean, total = np.empty(n_latents, np.int64), np.empty(n_dimensions), np.empty(n_dimensions)
    zeros, soft = np.zeros(n_dimensions), rho != np.inf
    for m in range(neighborhood.parents.shape[0]):
        n = neighborhood.first_row + m
        y, seen = values[n], observed[n]
        k = unpack_binary(neighborhood.parents, m, latents)
        for left_out in range(-1, k):
            place, size, prior = neighborhood.starts[m] + 1 + left_out, 0, constant[n]
            for i in range(k):
                if i != left_out:
                    base[size] = latents[i]
                    prior += log_odds[latents[i]]
                    size += 1
            total[:] = 0.0
            if soft:
                for i in range(size):
                    total += powers[base[i]]
                _root(total, zeros, scale, 1.0 / rho, mean)
            else:
                copy(scratch[maximum(elements, base, size, scratch)], mean)
            found.bases[place] = prior - 0.5 * precision * _distance(y, seen, zeros if size == 0 else mean)
            for h in range(n_latents):
                if soft:
                    _root(total, powers[h], scale, 1.0 / rho, mean)
                    distance = _distance(y, seen, mean)
                else:
                    distance = _distance_of_larger(y, seen, mean, elements[h])
                found.switched[place, h, 0] = prior + (log_odds[h] - 0.5 * precision * distance)
            for i in range(size):
                found.switched[place, base[i]] = -np.inf
