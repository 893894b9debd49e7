"""The space of a single latent with many values, of which none is "off": which cluster a row belongs to.

A state is its index, in one word.
"""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prosper_ng.latents.space import MAX_ENUMERATED, Codes

NO_STATE = np.uint64(2**64 - 1)
"""Fills up where rows have different numbers of states; models give it a log joint of -inf."""


class StateSpace(Protocol):
    """What all finite latent spaces have."""

    n_latents: int
    """H."""
    n_values: int
    """K, values of a latent."""
    values: NDArray[np.float64]
    """(K,) these."""
    words: int
    """uint64 words of one state."""
    n_states: int
    """How many states there are."""
    n_singletons: int
    """How many of them have a single latent that is not off."""
    state_type: type[np.generic]
    """What arrays of the values of states are of."""

    def encode(self, indices: ArrayLike) -> Codes:
        """Codes (..., words) of the indices (..., H) of values."""
        ...

    def decode(self, codes: Codes) -> NDArray[np.int64]:
        """Indices (..., H) of codes (..., words)."""
        ...

    def enumerate(self) -> Codes:
        """All states (n_states, words); ValueError where there are too many."""
        ...

    def presence(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(..., A) what `activity` of a model has the probabilities of, for the indices (..., H) of values."""
        ...


class IndexSpace:
    """One latent with values 0 to C - 1."""

    n_latents = 1
    words = 1
    n_singletons = 0
    state_type = np.int32

    def __init__(self, n_values: int) -> None:
        """Raise ValueError for fewer than one value."""
        if n_values < 1:
            raise ValueError(f"an index needs at least one value, got {n_values}")
        self.n_values = self.n_states = n_values
        self.values: NDArray[np.float64] = np.arange(n_values, dtype=np.float64)

    def encode(self, indices: ArrayLike) -> Codes:
        """Codes (..., 1) of indices (..., 1)."""
        return np.asarray(indices).astype(np.uint64)

    def decode(self, codes: Codes) -> NDArray[np.int64]:
        """Indices (..., 1) of codes (..., 1)."""
        return codes.astype(np.int64)

    def enumerate(self) -> Codes:
        """All states (C, 1); ValueError where there are more than 4 million."""
        if self.n_states > MAX_ENUMERATED:
            raise ValueError(f"{self.n_states} values of an index are too many to enumerate")
        return np.arange(self.n_states, dtype=np.uint64)[:, None]

    def presence(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(..., C) which of the values it is."""
        return np.asarray(indices == np.arange(self.n_values))
