"""Neighbors of states of the models with linear superposition: all latents from one pass over what is active.

In a base s, latent h at value phi adds phi b_h - phi² G_hh / 2 + log odds, its singleton, less phi (G s)_h. And G s of
the parent less one latent differs from that of the parent by one row of G.
"""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import Layout, room_for_active, unpack


@kernel
def _overlaps(k: int, latents: Any, gram: Any, precision: float, elements: Any, W: Any, missing: Any, own: Any) -> None:
    """Fill (k, H) with rows of G; over the entries that are not `missing` (D,), where these are given.

    `elements` (H, D) and `W` (D, H) are the same dictionary.
    """
    for i in range(k):
        h = latents[i]
        if missing.shape[0] == 0:
            own[i] = gram[h]
            continue
        own[i] = 0.0
        for d in range(missing.shape[0]):
            if not missing[d]:
                own[i] += (precision * elements[h, d]) * W[d]


@kernel
def _fill(base: float, singletons: Any, interaction: Any, alphabet: Any, result: Any) -> None:
    """Log joints (H, K - 1) of a base with each latent switched on."""
    if alphabet.shape[0] == 2:
        phi = alphabet[1]
        for h in range(interaction.shape[0]):
            result[h, 0] = base + (singletons[h, 0] - phi * interaction[h])
        return
    for h in range(interaction.shape[0]):
        for v in range(result.shape[1]):
            result[h, v] = base + (singletons[h, v] - alphabet[v + 1] * interaction[h])


@kernel
def fill_neighbors(
    neighborhood: Any, singletons: Any, gram: Any, precision: float, elements: Any, W: Any, missing: Any, alphabet: Any,
    layout: Layout, found: Any,
) -> None:  # fmt: skip
    """Fill the log joints of the neighbors of a neighborhood; other arguments as in `Projected` and `Prepared`."""
    n_latents = layout.n_latents
    latents, indices = room_for_active(n_latents)
    own, interaction, less_interaction = np.empty((n_latents, n_latents)), np.empty(n_latents), np.empty(n_latents)
    nothing = np.empty(0, np.bool_)
    for m in range(neighborhood.parents.shape[0]):
        n, first, joint = neighborhood.first_row + m, neighborhood.starts[m], neighborhood.log_joint[m]
        k = unpack(neighborhood.parents[m], layout, latents, indices)
        _overlaps(k, latents, gram, precision, elements, W, missing[n] if missing.shape[0] > 0 else nothing, own)
        interaction[:] = 0.0
        for i in range(k):
            interaction += alphabet[indices[i]] * own[i]
        found.bases[first] = joint
        _fill(joint, singletons[n], interaction, alphabet, found.switched[first])
        for i in range(k):
            h, index = latents[i], indices[i]
            phi = alphabet[index]
            for j in range(n_latents):
                less_interaction[j] = interaction[j] - phi * own[i, j]
            less = joint - (singletons[n, h, index - 1] - phi * less_interaction[h])
            found.bases[first + 1 + i] = less
            _fill(less, singletons[n], less_interaction, alphabet, found.switched[first + 1 + i])
        for base in range(k + 1):
            for i in range(k):
                if i != base - 1:
                    found.switched[first + base, latents[i]] = -np.inf
