"""State sets of which only a part is in use, so that their size can change over the sweeps.

A set keeps its S places; those that are not in use repeat the state in the first place, and states that are in use come
before them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.latents.space import LatentSpace, Layout
from prosper_ng.latents.state_sets import Floats, StateSets, complete
from prosper_ng.numerics.random_streams import Stream, open_stream, seek


def resized(
    sets: StateSets, n_used: int, space: LatentSpace, rows: NDArray[np.int64], activity: Floats, stream: Stream
) -> StateSets:
    """A copy with `n_used` states a row: the best of those in use, and draws from the prior where there are fewer."""
    codes = np.empty((len(sets.codes), n_used, space.words), np.uint64)
    log_joint = np.full(codes.shape[:2], -np.inf)
    _resize(
        sets.codes, sets.log_joint, rows, activity, space.layout, stream.words(),
        codes, log_joint,
    )  # fmt: skip
    return StateSets(codes, log_joint)


def store(used: StateSets, sets: StateSets) -> None:
    """Put states that are in use in the first places of their sets, in place."""
    n_used = used.codes.shape[1]
    sets.codes[:, :n_used], sets.log_joint[:, :n_used] = used
    sets.codes[:, n_used:], sets.log_joint[:, n_used:] = used.codes[:, :1], -np.inf


@kernel
def _count_used(codes: Any) -> int:
    """How many places come before the first that repeats the state in the first place."""
    for s in range(1, codes.shape[0]):
        same = True
        for w in range(codes.shape[1]):
            same = same and codes[s, w] == codes[0, w]
        if same:
            return s
    return int(codes.shape[0])


@kernel
def _resize(
    old: Any, old_joint: Any, rows: Any, activity: Any, layout: Layout, words: Any,
    codes: Any, log_joint: Any,
) -> None:  # fmt: skip
    state = open_stream(words)
    for n in range(codes.shape[0]):
        seek(state, rows[n])
        n_used, n_wanted = _count_used(old[n]), codes.shape[1]
        order = np.arange(n_used)
        if n_used > n_wanted:
            order = np.argsort(-old_joint[n, :n_used], kind="mergesort")
        for place in range(min(n_used, n_wanted)):
            codes[n, place] = old[n, order[place]]
            log_joint[n, place] = old_joint[n, order[place]]
        complete(state, activity, layout, min(n_used, n_wanted), codes[n])
