"""What states of the models with maximum superposition come to: found once, for all rows that meet the state."""

from typing import Any, NamedTuple

import numpy as np

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import unpack_binary
from prosper_ng.latents.state_table import StateTable, state_table
from prosper_ng.models.interface import Floats
from prosper_ng.models.maximum.kernels import Prepared
from prosper_ng.numerics.superposition import Powers, mean_of_sum, room_for_superposition, superpose

TABLE_NUMBERS = 1 << 19
"""How many numbers are kept for distinct states; where that is too few, they are found again."""

_PAD = 16


class Superpositions(NamedTuple):
    """The parameters, and what states superimpose to with them, found once for each."""

    scaled: Floats
    """(H, D') dictionary elements, padded."""
    elements: Floats
    """(H, D)."""
    powers: Powers
    """What the power mean needs of them."""
    opposed: Floats
    """(2, D) the largest power of either sign, negative ones first; (0, 0) where no power mean can shrink."""
    log_odds: Floats
    """(H,)."""
    means: Floats
    """(C, D') the superposition at the place of each state in the table."""
    least: Floats
    """(C, D') the least magnitude that is left with any more latents; `means` itself where that is the mean's own."""
    table: StateTable
    """The states that were met so far."""


class Workspace:
    """What is known of the superpositions at some parameters, which E-steps add to: one for each thread."""

    def __init__(self, prepared: Prepared) -> None:
        """Nothing is known yet."""
        self.prepared = prepared
        self._known: dict[int, Superpositions] = {}

    def superpositions(self, max_active: int) -> Superpositions:
        """Those of up to gamma latents, with room for more."""
        if max_active not in self._known:
            self._known[max_active] = _no_superpositions(self.prepared)
        return self._known[max_active]


def _no_superpositions(prepared: Prepared) -> Superpositions:
    elements, opposed = prepared.elements, _opposed(prepared)
    padded = -(-elements.shape[1] // _PAD) * _PAD
    capacity = max(TABLE_NUMBERS // padded, 16)
    means = np.empty((capacity, padded))
    return Superpositions(
        padded_rows(elements, padded), elements, prepared.powers, opposed, prepared.log_odds,
        means, np.empty_like(means) if len(opposed) else means, state_table(len(elements), capacity),
    )  # fmt: skip


def padded_rows(rows: Floats, n_dimensions: int) -> Floats:
    """Rows (m, D) with zeros behind."""
    if rows.shape[1] == n_dimensions:
        return rows
    result = np.zeros((len(rows), n_dimensions))
    result[:, : rows.shape[1]] = rows
    return result


def _opposed(prepared: Prepared) -> Floats:
    """The largest power of either sign, where adding a latent can make the magnitude of a power mean smaller."""
    if prepared.powers.rho == np.inf or not (prepared.elements < 0).any():
        return np.empty((0, 0))
    powers = prepared.powers.powers[:, : prepared.elements.shape[1]]
    return np.stack([np.maximum(-powers.min(axis=0), 0.0), np.maximum(powers.max(axis=0), 0.0)])


@kernel(error_model="numpy")
def superpose_states(elements: Any, codes: Any, n_more: int, first: int, last: int) -> None:
    """Fill the means of the states from one place to another, and what is left of them with `n_more` other latents."""
    n_dimensions = elements.elements.shape[1]
    means, least, opposed = elements.means, elements.least, elements.opposed
    powers = elements.powers.powers
    latents, scratch = room_for_superposition(elements.elements)
    for place in range(first, last):
        k = unpack_binary(codes, place, latents)
        row = superpose(elements.elements, elements.powers, latents, k, scratch)
        means[place, n_dimensions:], least[place, n_dimensions:] = 0.0, 0.0
        for d in range(n_dimensions):
            means[place, d] = scratch[row, d]
        if opposed.shape[0] == 0:
            continue
        scratch[3] = 0.0
        for i in range(k):
            for d in range(n_dimensions):
                scratch[3, d] += powers[latents[i], d]
        for d in range(n_dimensions):
            total = scratch[3, d]
            left = abs(total) - n_more * (opposed[0, d] if total > 0.0 else opposed[1, d])
            left -= 1e-14 * k * (opposed[0, d] + opposed[1, d])
            scratch[0, d] = left if left > 0.0 else 0.0
        mean_of_sum(elements.powers, scratch)
        for d in range(n_dimensions):
            least[place, d] = scratch[1, d]
