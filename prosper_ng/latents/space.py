"""Finite latent spaces and their packed codes.

The value of a latent is an index into the alphabet; index 0 is "off". A state is stored as bit planes: plane p holds
bit p of every latent's index, 64 latents to a word, so a binary state of H latents takes ceil(H / 64) words.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.bits import bit, count_trailing_zeros, lowest_bit

Codes = NDArray[np.uint64]

MAX_ENUMERATED = 1 << 22
"""States that are listed at most."""


class Layout(NamedTuple):
    """How states are packed, as kernels take it: numbers only, which even a call for one state hands on at no cost."""

    n_latents: int
    """H."""
    n_values: int
    """K, size of the alphabet."""
    n_planes: int
    """Bits of an index."""
    plane_words: int
    """uint64 words of one plane."""


class LatentSpace:
    """H latents, each with a value from one finite alphabet whose first value, 0, means "off"."""

    def __init__(self, n_latents: int, values: Sequence[float] = (0.0, 1.0)) -> None:
        """Raise ValueError for an alphabet of fewer than two or repeated values, or one that does not start with 0."""
        if n_latents < 1:
            raise ValueError(f"a latent space needs at least one latent, got {n_latents}")
        if len(values) < 2 or values[0] != 0 or len(set(values)) != len(values):
            raise ValueError(f"an alphabet is two or more distinct values of which the first is 0, got {list(values)}")
        self.n_latents = n_latents
        self.values: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
        self.layout = Layout(n_latents, len(values), int(len(values) - 1).bit_length(), -(-n_latents // 64))

    @property
    def n_values(self) -> int:
        """Size of the alphabet."""
        return len(self.values)

    @property
    def words(self) -> int:
        """uint64 words of one packed state."""
        return self.layout.n_planes * self.layout.plane_words

    @property
    def n_singletons(self) -> int:
        """How many states have a single active latent."""
        return self.n_latents * (self.n_values - 1)

    @cached_property
    def n_states(self) -> int:
        """How many states there are."""
        return int(self.n_values**self.n_latents)

    @cached_property
    def state_type(self) -> type[np.generic]:
        """int8 for alphabets of small whole numbers, float64 for others."""
        small_whole = (self.values == np.rint(self.values)) & (abs(self.values) < 128)
        return np.int8 if small_whole.all() else np.float64

    def presence(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(..., H) which latents are active, for alphabet indices (..., H)."""
        return np.asarray(indices != 0)

    def encode(self, indices: ArrayLike) -> Codes:
        """Codes (..., words) of alphabet indices (..., H)."""
        index = np.asarray(indices, dtype=np.int64)
        flat = index.reshape(-1, self.n_latents)
        codes = np.zeros((len(flat), self.words), np.uint64)
        _encode(flat, self.layout, codes)
        return codes.reshape(*index.shape[:-1], self.words)

    def decode(self, codes: Codes) -> NDArray[np.int64]:
        """Alphabet indices (..., H) of codes (..., words)."""
        flat = np.ascontiguousarray(codes).reshape(-1, self.words)
        indices = np.zeros((len(flat), self.n_latents), np.int64)
        _decode(flat, self.layout, indices)
        return indices.reshape(*codes.shape[:-1], self.n_latents)

    def enumerate(self) -> Codes:
        """All states (n_states, words), the zero state first; ValueError where there are more than 4 million."""
        if self.n_states > MAX_ENUMERATED:
            raise ValueError(f"{self.n_states} states of {self.n_latents} latents are too many to enumerate")
        digits = np.arange(self.n_states)[:, None] // self.n_values ** np.arange(self.n_latents)
        return self.encode(digits % self.n_values)


@kernel
def _encode(indices: Any, layout: Layout, codes: Any) -> None:
    _, _, n_planes, plane_words = layout
    for i in range(indices.shape[0]):
        for h in range(indices.shape[1]):
            for p in range(n_planes):
                if (indices[i, h] >> p) & 1:
                    codes[i, p * plane_words + h // 64] |= bit(h % 64)


@kernel
def _decode(codes: Any, layout: Layout, indices: Any) -> None:
    _, _, n_planes, plane_words = layout
    for i in range(indices.shape[0]):
        for h in range(indices.shape[1]):
            for p in range(n_planes):
                word = codes[i, p * plane_words + h // 64]
                indices[i, h] |= np.int64((word >> np.uint64(h % 64)) & np.uint64(1)) << p


@kernel
def room_for_active(n_latents: int) -> Any:
    """Two arrays (H,) in which `unpack` puts the numbers and the alphabet indices of active latents."""
    return np.empty(n_latents, np.int64), np.empty(n_latents, np.int64)


@inner_kernel
def unpack(code: Any, layout: Layout, latents: Any, indices: Any) -> int:
    """The number of active latents of a code (words,); their numbers and alphabet indices go to the two arrays."""
    n_planes, plane_words, k = layout.n_planes, layout.plane_words, 0
    for w in range(plane_words):
        active = code[w]
        for p in range(1, n_planes):
            active |= code[p * plane_words + w]
        while active:
            position = count_trailing_zeros(active)
            active &= active - np.uint64(1)
            latents[k] = w * 64 + np.int64(position)
            index = np.int64((code[w] >> position) & np.uint64(1))
            for p in range(1, n_planes):
                index |= np.int64((code[p * plane_words + w] >> position) & np.uint64(1)) << p
            indices[k] = index
            k += 1
    return k


@inner_kernel(error_model="numpy")
def unpack_binary(codes: Any, i: int, latents: Any) -> np.int64:
    """The number of active latents of one of the binary codes (m, words); their numbers go to an array for all latents.

    Most words have one active latent or none: the first is taken without asking whether it is there, since a wrong
    guess of the processor costs more. Unsigned indices never count from the end of an array, which would be asked, too.
    """
    k, one = np.uint64(0), np.uint64(1)
    for w in range(np.uint64(codes.shape[1])):
        first, active = w * np.uint64(64), codes[i, w]
        latents[k] = np.int64(first + lowest_bit(active))
        k += np.uint64(active != np.uint64(0))
        active &= active - one
        while active != np.uint64(0):
            latents[k] = np.int64(first + lowest_bit(active))
            k += one
            active &= active - one
    return np.int64(k)


@kernel
def room_for_states(n_states: int, n_latents: int) -> Any:
    """Two arrays in which `unpack_states` puts the active latents of so many binary states and where each ends."""
    return np.empty(n_states * n_latents + 1, np.int64), np.empty(n_states, np.int64)


@kernel(error_model="numpy")
def unpack_states(codes: Any, latents: Any, ends: Any) -> None:
    """The active latents of binary codes (S, words), one state after the other; s is before `ends[s]`.

    As `unpack_binary`, for all states at once: what looks at them afterwards is not in the way of the next one then,
    which takes less than half the time where states have one or two active latents.
    """
    k, one = np.uint64(0), np.uint64(1)
    for s in range(np.uint64(codes.shape[0])):
        for w in range(np.uint64(codes.shape[1])):
            first, active = w * np.uint64(64), codes[s, w]
            latents[k] = np.int64(first + lowest_bit(active))
            k += np.uint64(active != np.uint64(0))
            active &= active - one
            while active != np.uint64(0):
                latents[k] = np.int64(first + lowest_bit(active))
                k += one
                active &= active - one
        ends[s] = np.int64(k)
