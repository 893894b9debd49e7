"""Random numbers that are a function of what they are for, never of who draws them, when, or in which order.

Philox4x64-10 (Salmon, Moraes, Dror and Shaw, SC 2011): a keyed bijection of a 256-bit counter. The key is the seed
and the purpose; the counter is the sweep, the stage within it, the global row and the index of the draw. Equal bit
for bit to `numpy.random.Philox`.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.numerics.bits import multiply_high

_MULTIPLIER_0 = np.uint64(0xD2E7470EE14C6C93)
_MULTIPLIER_1 = np.uint64(0xCA5A826395121157)
_WEYL_0 = np.uint64(0x9E3779B97F4A7C15)
_WEYL_1 = np.uint64(0xBB67AE8584CAA73B)

# Layout of a stream inside a kernel: four words of output, how many of them are used, key, counter.
_USED, _KEY, _COUNTER, _LENGTH = 4, 5, 7, 11


class Stream(NamedTuple):
    """A family of random streams, one for each global row."""

    seed: int
    purpose: int
    sweep: int
    stage: int

    def staged(self, stage: int) -> "Stream":
        """The family for another stage of the same sweep."""
        return self._replace(stage=stage)

    def words(self) -> NDArray[np.uint64]:
        """Seed, purpose, sweep and stage, as kernels take them."""
        return np.array(self, dtype=np.uint64)

    def generator(self, row: int = 0) -> np.random.Generator:
        """NumPy's generator over the stream of one row."""
        counter = np.array([0, row, self.stage, self.sweep], dtype=np.uint64)
        key = np.array([self.seed, self.purpose], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def uniform(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n,) the first number of each row's stream, from [0, 1)."""
        found = np.empty(len(rows))
        _fill_uniform(rows, self.words(), found)
        return found

    def normal(self, rows: NDArray[np.int64], n_values: int) -> NDArray[np.float64]:
        """(n, n_values) standard normal numbers, by the method of Box and Muller."""
        found = np.empty((len(rows), n_values))
        _fill_normal(rows, self.words(), found)
        return found


def stream(seed: int, purpose: str, sweep: int = 0, stage: int = 0) -> Stream:
    """The streams for a purpose, which is any text; other purposes are independent of it."""
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")
    return Stream(seed, word, sweep, stage)


# Inlined where they are used: passing the state on costs more than drawing from it.
@kernel(inline="always")
def philox(key_0: Any, key_1: Any, c_0: Any, c_1: Any, c_2: Any, c_3: Any) -> Any:
    """Four uint64 of Philox4x64-10 for a key of two words and a counter of four."""
    for _ in range(10):
        low_0, high_0 = _MULTIPLIER_0 * c_0, multiply_high(_MULTIPLIER_0, c_0)
        low_1, high_1 = _MULTIPLIER_1 * c_2, multiply_high(_MULTIPLIER_1, c_2)
        c_0, c_1, c_2, c_3 = high_1 ^ c_1 ^ key_0, low_1, high_0 ^ c_3 ^ key_1, low_0
        key_0 = key_0 + _WEYL_0
        key_1 = key_1 + _WEYL_1
    return c_0, c_1, c_2, c_3


@kernel
def open_stream(words: Any) -> Any:
    """A stream for use inside a kernel; `seek` it to a row before the first draw."""
    state = np.zeros(_LENGTH, np.uint64)
    state[_KEY], state[_KEY + 1] = words[0], words[1]
    state[_COUNTER + 2], state[_COUNTER + 3] = words[3], words[2]
    return state


@inner_kernel
def seek(state: Any, row: Any) -> None:
    """Go to the first draw of a global row."""
    state[_USED] = 4
    state[_COUNTER] = 0
    state[_COUNTER + 1] = row


@kernel(inline="always")
def next_word(state: Any) -> Any:
    """A uniform uint64."""
    used = state[_USED]
    if used == 4:
        # NumPy counts up before it draws; so do we.
        state[_COUNTER] += np.uint64(1)
        state[0], state[1], state[2], state[3] = philox(
            state[_KEY], state[_KEY + 1], state[_COUNTER], state[_COUNTER + 1], state[_COUNTER + 2], state[_COUNTER + 3]
        )
        used = np.uint64(0)
    state[_USED] = used + np.uint64(1)
    return state[used]


@inner_kernel
def next_uniform(state: Any) -> Any:
    """A uniform float64 in [0, 1) with 53 random bits."""
    return np.float64(next_word(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@inner_kernel
def next_below(state: Any, limit: Any) -> Any:
    """A uniform integer in [0, limit), as int64; the bias is below limit / 2^64."""
    return np.int64(multiply_high(next_word(state), np.uint64(limit)))


@kernel
def _fill_uniform(rows: Any, words: Any, found: Any) -> None:
    state = open_stream(words)
    for n in range(rows.shape[0]):
        seek(state, rows[n])
        found[n] = next_uniform(state)


@kernel
def _fill_normal(rows: Any, words: Any, found: Any) -> None:
    state, n_values = open_stream(words), found.shape[1]
    for n in range(rows.shape[0]):
        seek(state, rows[n])
        for d in range(0, n_values, 2):
            radius, angle = np.sqrt(-2.0 * np.log1p(-next_uniform(state))), 2.0 * np.pi * next_uniform(state)
            found[n, d] = radius * np.cos(angle)
            if d + 1 < n_values:
                found[n, d + 1] = radius * np.sin(angle)
