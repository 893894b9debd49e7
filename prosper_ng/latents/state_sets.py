"""The truncated state sets K_n: S distinct states for each row, with their log joints."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel, kernel
from prosper_ng.latents.space import LatentSpace, Layout
from prosper_ng.numerics.bits import bit
from prosper_ng.numerics.copying import copy
from prosper_ng.numerics.extremes import place_of_smallest
from prosper_ng.numerics.random_streams import Stream, next_below, next_uniform, open_stream, seek

Floats = NDArray[np.float64]
Codes = NDArray[np.uint64]


class StateSets(NamedTuple):
    """The state sets of consecutive rows; S distinct states each, in no particular order."""

    codes: Codes
    """(n, S, words) packed states."""
    log_joint: Floats
    """(n, S) log p(s, y)."""

    def slice(self, start: int, stop: int) -> "StateSets":
        """A view of some of the rows."""
        return StateSets(self.codes[start:stop], self.log_joint[start:stop])

    def merge(self, codes: Codes, log_joint: Floats) -> int:
        """Keep, in place, the S states of highest joint among these and the candidates; how many came in.

        Candidates (n, C, words) with log joints (n, C) may repeat each other and the sets; NaN never comes in.
        """
        return int(_merge(self.codes, self.log_joint, codes, log_joint))


def draw_sets(
    space: LatentSpace, rows: NDArray[np.int64], n_states: int, activity: Floats, stream: Stream
) -> StateSets:
    """Distinct states for each of the global rows: the zero state, then draws from independent latents.

    `activity` (H,) is the probability that a latent is active; an active latent takes each non-zero value with equal
    probability. At most `space.n_states` states are kept. The log joints are -inf until somebody evaluates them.
    """
    n_kept = min(n_states, space.n_states)
    codes = np.zeros((len(rows), n_kept, space.words), np.uint64)
    if n_kept == space.n_states:
        codes[:] = space.enumerate()
    else:
        _draw(rows, activity, space.layout, stream.words(), codes)
    return StateSets(codes, np.full((len(rows), n_kept), -np.inf))


@inner_kernel
def contains(codes: Any, n_states: int, code: Any) -> bool:
    """Whether a code (words,) is among the first `n_states` codes (S, words)."""
    # Most states differ in the first word in which the code has a bit.
    first = 0
    while first < code.shape[0] - 1 and code[first] == np.uint64(0):
        first += 1
    for s in range(n_states):
        if codes[s, first] == code[first]:
            same = True
            for w in range(code.shape[0]):
                same &= codes[s, w] == code[w]
            if same:
                return True
    return False


@kernel
def _merge(codes: Any, log_joint: Any, new_codes: Any, new_log_joint: Any) -> int:
    n_accepted = 0
    for n in range(codes.shape[0]):
        worst = place_of_smallest(log_joint[n])
        for c in range(new_codes.shape[1]):
            candidate = new_log_joint[n, c]
            if candidate > log_joint[n, worst] and not contains(codes[n], codes.shape[1], new_codes[n, c]):
                for w in range(codes.shape[2]):
                    codes[n, worst, w] = new_codes[n, c, w]
                log_joint[n, worst] = candidate
                worst = place_of_smallest(log_joint[n])
                n_accepted += 1
    return n_accepted


@inner_kernel
def set_value(code: Any, h: int, index: int, layout: Layout) -> None:
    """Give latent h of a code (words,) another alphabet index, in place."""
    mask = bit(h % 64)
    for p in range(layout.n_planes):
        word = p * layout.plane_words + h // 64
        if (index >> p) & 1:
            code[word] |= mask
        else:
            code[word] &= ~mask


@inner_kernel
def get_value(code: Any, h: int, layout: Layout) -> np.int64:
    """The alphabet index of latent h in a code (words,)."""
    index = np.int64(0)
    for p in range(layout.n_planes):
        word = code[p * layout.plane_words + h // 64]
        index |= np.int64((word >> np.uint64(h % 64)) & np.uint64(1)) << p
    return index


@kernel
def draw_state(state: Any, activity: Any, layout: Layout, code: Any) -> None:
    """One state of independent latents, in time proportional to the number of active ones."""
    code[:] = 0
    n_latents = activity.shape[0]
    largest = max(np.max(activity), 1e-12)
    scale = 1.0 / np.log1p(-min(largest, 1.0 - 1e-12))
    h = np.int64(-1)
    while True:
        # Jump to the next latent that would be active if all were as active as the most active one; then thin out.
        h += 1 + np.int64(min(np.log1p(-next_uniform(state)) * scale, np.float64(n_latents)))
        if h >= n_latents:
            return
        if next_uniform(state) * largest < activity[h]:
            set_value(code, h, 1 + next_below(state, layout.n_values - 1), layout)


@kernel
def _draw(rows: Any, activity: Any, layout: Layout, words: Any, codes: Any) -> None:
    state = open_stream(words)
    for n in range(rows.shape[0]):
        seek(state, rows[n])
        complete(state, activity, layout, 1, codes[n])


@kernel
def complete(state: Any, activity: Any, layout: Layout, n_found: int, codes: Any) -> None:
    """Fill codes (S, words), of which the first `n_found` are states, with other states of independent latents."""
    code = np.zeros(codes.shape[1], np.uint64)
    n_repeats = 0
    while n_found < codes.shape[0]:
        draw_state(state, activity, layout, code)
        # A prior that keeps repeating itself is helped by more and more random changes.
        for _ in range(n_repeats // 2):
            h = next_below(state, activity.shape[0])
            set_value(code, h, next_below(state, layout.n_values), layout)
        if contains(codes, n_found, code):
            n_repeats += 1
        else:
            copy(code, codes[n_found])
            n_found += 1
            n_repeats = 0
