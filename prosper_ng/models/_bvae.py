"""Kernels of decoders of binary latents; `bvae` says what they compute."""

from typing import Any

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import unpack_binary

_REORDERED = {"reassoc", "contract"}
"""What makes vector instructions of sums of products; NaN and infinity stay what they are."""


@kernel
def fill_first_layer(columns: Any, bias: Any, codes: Any, leak: float, result: Any) -> None:
    """Fill (m, n_1) with what the first layer makes of codes (m, words): the bias and a column for each active latent.

    Columns are (H, n_1). Negative sums are multiplied by `leak`.
    """
    latents = np.empty(columns.shape[0], np.int64)
    for i in range(codes.shape[0]):
        k = unpack_binary(codes, i, latents)
        for j in range(bias.shape[0]):
            result[i, j] = bias[j]
        for a in range(k):
            h = latents[a]
            for j in range(bias.shape[0]):
                result[i, j] += columns[h, j]
        for j in range(bias.shape[0]):
            result[i, j] = max(result[i, j], leak * result[i, j])


@kernel
def add_first_gradient(
    slopes: Any, units: Any, codes: Any, shares: Any, leak: float, columns: Any, bias: Any, counts: Any
) -> None:
    """Add to columns (H, n_1) and bias (n_1,) the gradient of what has the slopes (m, n_1) by units of the first layer.

    Shares (m,) of the states are added to the counts (H,) of their active latents. Slopes are overwritten.
    """
    latents = np.empty(columns.shape[0], np.int64)
    for i in range(codes.shape[0]):
        for j in range(bias.shape[0]):
            slopes[i, j] *= 1.0 if units[i, j] > 0.0 else leak
            bias[j] += slopes[i, j]
        k = unpack_binary(codes, i, latents)
        for a in range(k):
            h = latents[a]
            counts[h] += shares[i]
            for j in range(bias.shape[0]):
                columns[h, j] += slopes[i, j]


@kernel(fastmath=_REORDERED)
def fill_energies(
    values: Any, observed: Any, precisions: Any, outputs: Any, first: int, n_states: int, energy: Any
) -> None:
    """Fill energy (m,) with half the squared distances of outputs (m, D) from their rows, in units of the noise.

    States are numbered through all rows (n, D), `n_states` of each, and begin with number `first`. Entries that are
    not observed do not count; `observed` is (0, D) where all are. Precisions (D,) are 1 / sigma².
    """
    D = outputs.shape[1]
    for i in range(energy.shape[0]):
        n, total = (first + i) // n_states, 0.0
        if observed.shape[0] == 0:
            for d in range(D):
                total += precisions[d] * (values[n, d] - outputs[i, d]) ** 2
        else:
            for d in range(D):
                total += observed[n, d] * precisions[d] * (values[n, d] - outputs[i, d]) ** 2
        energy[i] = 0.5 * total
