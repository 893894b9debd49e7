"""Neighbors of states of the models with maximum superposition: each base once, then one more latent on top of it."""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.neighbors import all_but
from prosper_ng.latents.space import unpack_binary
from prosper_ng.numerics.superposition import maximum, mean_of_sum, room_for_superposition


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
def fill_neighbors(
    neighborhood: Any, values: Any, observed: Any, elements: Any, powers: Any, precision: float, constant: Any,
    log_odds: Any, found: Any,
) -> None:  # fmt: skip
    """Fill the log joints of the neighbors of a neighborhood; arguments as in `Projected` and `Prepared`."""
    n_latents = elements.shape[0]
    latents, scratch = room_for_superposition(elements)
    base, total = np.empty(n_latents, np.int64), np.empty(scratch.shape[1])
    soft, of_latents = powers.rho != np.inf, powers.powers
    for m in range(neighborhood.parents.shape[0]):
        n = neighborhood.first_row + m
        y, seen = values[n], observed[n]
        k = unpack_binary(neighborhood.parents, m, latents)
        for left_out in range(-1, k):
            place, prior = neighborhood.starts[m] + 1 + left_out, constant[n]
            size = all_but(latents, k, left_out, base)
            for i in range(size):
                prior += log_odds[base[i]]
            if soft:
                total[:] = 0.0
                for i in range(size):
                    total += of_latents[base[i]]
                scratch[0] = total
                mean_of_sum(powers, scratch)
            mean = scratch[1 if soft else maximum(elements, base, size, scratch)]
            found.bases[place] = prior - 0.5 * precision * _distance(y, seen, mean)
            for h in range(n_latents):
                if soft:
                    for d in range(scratch.shape[1]):
                        scratch[0, d] = total[d] + of_latents[h, d]
                    mean_of_sum(powers, scratch)
                    distance = _distance(y, seen, mean)
                else:
                    distance = _distance_of_larger(y, seen, mean, elements[h])
                found.switched[place, h, 0] = prior + (log_odds[h] - 0.5 * precision * distance)
            for i in range(size):
                found.switched[place, base[i]] = -np.inf
