"""A hash table of binary states, for what is computed once for each distinct state.

States are told apart by 128 random bits, not by their latents: of a million states, two have the same bits with a
probability of 1e-27.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.numerics.bits import bit

_NONE = np.int32(-1)


class StateTable(NamedTuple):
    """States in the order in which they came; places count from 0."""

    keys: NDArray[np.uint64]
    """(H, 2) random words; the hash of a state is the exclusive or of those of its active latents."""
    slots: NDArray[np.int32]
    """(2^b,) the place of the state whose hash led here by its first word, or -1."""
    codes: NDArray[np.uint64]
    """(C, words) the packed states."""
    hashes: NDArray[np.uint64]
    """(C, 2) their hashes."""
    n_states: NDArray[np.int64]
    """(1,) how many there are, at most C."""


def state_table(n_latents: int, capacity: int) -> StateTable:
    """An empty table for up to `capacity` binary states."""
    words, n_slots = -(-n_latents // 64), 1 << int(2 * capacity - 1).bit_length()
    slots = np.full(n_slots, _NONE, np.int32)
    codes, hashes = np.empty((capacity, words), np.uint64), np.empty((capacity, 2), np.uint64)
    return StateTable(_keys(n_latents), slots, codes, hashes, np.zeros(1, np.int64))


@cache
def _keys(n_latents: int) -> NDArray[np.uint64]:
    return np.random.Philox(key=0).random_raw((n_latents, 2)).astype(np.uint64)


@kernel
def clear(table: Any) -> None:
    """Forget all states."""
    last = np.uint64(table.slots.shape[0] - 1)
    for place in range(table.n_states[0]):
        position = table.hashes[place, 0] & last
        while table.slots[position] != _NONE:
            table.slots[position] = _NONE
            position = (position + np.uint64(1)) & last
    table.n_states[0] = 0


@kernel
def place_states(table: Any, first: int, candidates: Any, rows: Any, tree: Any, nodes: Any, places: Any) -> int:
    """Fill the places of a list of states from `first` on; how many have one, fewer than all where the table is full.

    A state is a node (m,) of a tree over the candidates (n, H') of a row (m,). A new state gets the next place.
    """
    keys, slots, codes, hashes, count = table.keys, table.slots, table.codes, table.hashes, table.n_states
    last = np.uint64(slots.shape[0] - 1)
    for i in range(first, nodes.shape[0]):
        first_word, second_word, node = np.uint64(0), np.uint64(0), np.int64(nodes[i])
        while node >= 0:
            h = candidates[rows[i], tree.slots[node]]
            first_word ^= keys[h, 0]
            second_word ^= keys[h, 1]
            node = tree.parents[node]
        position = first_word & last
        place = np.int64(slots[position])
        while place >= 0 and (hashes[place, 0] != first_word or hashes[place, 1] != second_word):
            position = (position + np.uint64(1)) & last
            place = np.int64(slots[position])
        if place < 0:
            if count[0] == codes.shape[0]:
                return i
            place = count[0]
            count[0] += 1
            slots[position] = place
            hashes[place, 0], hashes[place, 1] = first_word, second_word
            _write(codes, place, candidates, rows[i], tree, nodes[i])
        places[i] = place
    return int(nodes.shape[0])


@kernel
def _write(codes: Any, place: int, candidates: Any, row: int, tree: Any, node: int) -> None:
    """Write the packed state of a node."""
    for w in range(codes.shape[1]):
        codes[place, w] = 0
    while node >= 0:
        h = candidates[row, tree.slots[node]]
        codes[place, h // 64] |= bit(h % 64)
        node = tree.parents[node]
