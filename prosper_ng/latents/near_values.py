"""Which values of an index are near to which: what a search looks at in the place of all C values.

Nearness is a likeness that the model gives: how probable value c' makes what value c makes. Up to `_FEW` values all are
held against all. Beyond, each is held against about sqrt(C) pivots, and then against those values whose best pivot is
one of the three nearest to its own: about C^1.5 likenesses in the place of C².
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.kernels import kernel
from prosper_ng.latents.index_space import NO_STATE
from prosper_ng.numerics.extremes import fill_largest
from prosper_ng.numerics.random_streams import next_below, open_stream, seek
from prosper_ng.numerics.sharing import ALONE, Share

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Likeness = Callable[[Ints, Ints], Floats]
"""(m, k) how probable some values (k,) make what others (m,) make; larger is nearer."""

_FEW = 4096
_CELLS = 3
_ROWS = 256
"""Values that are held against others at a time."""
_WORTH_A_MESSAGE = 1 << 20
"""Likenesses from which on several find a share each."""


class NearValues(NamedTuple):
    """What is near to what."""

    near: Ints
    """(C, G) the nearest values of each, itself among them; repeated where there are fewer."""
    pivots: Ints
    """(P,) values that stand for others."""
    starts: Ints
    """(P + 1,) where the cell of each pivot begins in `members`."""
    members: Ints
    """(C,) all values, by the pivot that is nearest to them."""

    @property
    def largest_cell(self) -> int:
        """Values of the largest cell."""
        return int(np.diff(self.starts).max())


def near_values(n_values: int, n_near: int, likeness: Likeness, share: Share = ALONE) -> NearValues:
    """The `n_near` nearest of each of C values, and about sqrt(C) cells that these fall into.

    Where several share the work, all get the same.
    """
    every, n_near = np.arange(n_values), min(n_near, n_values)
    n_pivots = int(np.ceil(np.sqrt(n_values)))
    pivots = np.arange(n_pivots) * n_values // n_pivots
    cell = _nearest(every, pivots, 1, likeness, share)[:, 0]
    cell[pivots] = np.arange(n_pivots)
    members = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[members], np.arange(n_pivots + 1))
    if n_values <= _FEW:
        near = _with_itself(every, _nearest(every, every, n_near, likeness, share))
    else:
        near = _near_by_cells(n_near, pivots, starts, members, likeness, share)
    return NearValues(near, pivots, starts, members)


def _nearest(values: Ints, others: Ints, n_near: int, likeness: Likeness, share: Share = ALONE) -> Ints:
    """(m, n_near) the places of the nearest of the others, the nearest first."""
    share = share if len(values) * len(others) >= _WORTH_A_MESSAGE else ALONE
    found = np.zeros((len(values), n_near), np.int64)
    # What is compared at a time does not depend on the shares, so that products come out the same.
    for start in (_ROWS * piece for piece in share.of(-(-len(values) // _ROWS))):
        fill_largest(likeness(values[start : start + _ROWS], others), found[start : start + _ROWS])
    return share.together(found)


def _near_by_cells(
    n_near: int, pivots: Ints, starts: Ints, members: Ints, likeness: Likeness, share: Share
) -> Ints:  # fmt: skip
    """(C, G) the nearest among the values of the three cells around each."""
    near = np.zeros((len(members), n_near), np.int64)
    around = _nearest(pivots, pivots, min(_CELLS, len(pivots)), likeness)
    for p in share.of(len(pivots)):
        cells, own = around[p], members[starts[p] : starts[p + 1]]
        others = np.concatenate([members[starts[q] : starts[q + 1]] for q in np.union1d(cells, [p])])
        found = others[_nearest(own, others, min(n_near, len(others)), likeness)]
        near[own, : found.shape[1]] = found
        near[own, found.shape[1] :] = own[:, None]
        near[own] = _with_itself(own, near[own])
    return share.together(near)


def _with_itself(values: Ints, near: Ints) -> Ints:
    """The nearest of values (m, G), each itself among them, in the place of the last where it is not."""
    lacks = (near != values[:, None]).all(axis=1)
    near[lacks, -1] = values[lacks]
    return near


@kernel
def draw_values(rows: Any, n_values: int, words: Any, codes: Any) -> None:
    """Fill codes (n, S, 1) with distinct values for each of the global rows (n,)."""
    state = open_stream(words)
    for n in range(codes.shape[0]):
        seek(state, rows[n])
        # Floyd's method: each subset is as likely as any other.
        for place in range(codes.shape[1]):
            last = n_values - codes.shape[1] + place
            drawn = np.uint64(next_below(state, last + 1))
            for s in range(place):
                if codes[n, s, 0] == drawn:
                    drawn = np.uint64(last)
                    break
            codes[n, place, 0] = drawn


@kernel
def fill_near(codes: Any, near: Any, rows: Any, words: Any, n_random: int, proposed: Any) -> int:
    """Fill (n, m, 1) with the nearest of the values in codes (n, S, 1), and random ones, each once; how many these are.

    None that the codes hold is among them; what is left of a row is `NO_STATE`.
    """
    state, seen, total = open_stream(words), np.full(near.shape[0], -1), 0
    for n in range(codes.shape[0]):
        seek(state, rows[n])
        for s in range(codes.shape[1]):
            seen[codes[n, s, 0]] = n
        k = 0
        for s in range(codes.shape[1]):
            for value in near[codes[n, s, 0]]:
                if seen[value] != n:
                    seen[value] = n
                    proposed[n, k, 0] = value
                    k += 1
        for _ in range(n_random):
            drawn = next_below(state, near.shape[0])
            if seen[drawn] != n:
                seen[drawn] = n
                proposed[n, k, 0] = drawn
                k += 1
        total += k
        proposed[n, k:, 0] = NO_STATE
    return total


@kernel
def fill_cells(scores: Any, starts: Any, members: Any, n_cells: int, proposed: Any) -> int:
    """Fill (n, m, 1) with the values of the cells whose pivots have the best scores (n, P); how many these are.

    What is left of a row is `NO_STATE`. The scores are changed.
    """
    total = 0
    for n in range(scores.shape[0]):
        k = 0
        for _ in range(n_cells):
            best = np.argmax(scores[n])
            scores[n, best] = -np.inf
            for place in range(starts[best], starts[best + 1]):
                proposed[n, k, 0] = members[place]
                k += 1
        total += k
        proposed[n, k:, 0] = NO_STATE
    return total
