"""Which entries of a buffer each rank gets of a sum over the ranks, where none needs all of them."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prosper_ng.parallel.communicator import Communicator

Vector = NDArray[Any]
Ints = NDArray[np.int64]

_LONGEST = 1 << 30
"""Entries of a stripe, fewer than the 2^31 that MPI's classic interface can count."""


class Stripe(NamedTuple):
    """Entries one behind the other, of which each rank gets those behind the entries of lower ranks."""

    start: int
    counts: list[int]
    """Of each rank."""

    def of(self, rank: int) -> range:
        """The entries of a rank."""
        first = self.start + sum(self.counts[:rank])
        return range(first, first + self.counts[rank])

    @property
    def stop(self) -> int:
        """Where the next entry lies."""
        return self.start + sum(self.counts)


class Shares:
    """Stripes of a buffer; entries in none of them go to all ranks."""

    def __init__(self, stripes: Sequence[Stripe], n_entries: int) -> None:
        """Stripes in the order of their entries."""
        self.stripes, self._n_entries = list(stripes), n_entries
        firsts, lasts = [0, *(each.stop for each in stripes)], [*(each.start for each in stripes), n_entries]
        self._between = list(map(range, firsts, lasts))
        """Entries that go to all ranks."""

    @classmethod
    def even(cls, n_entries: int, size: int) -> "Shares":
        """As many entries to each rank, or one more."""
        bounds = [*range(0, n_entries, _LONGEST), n_entries]
        stripes = [Stripe(first, even_counts(last - first, size)) for first, last in pairwise(bounds)]
        return cls(stripes, n_entries)

    def of(self, rank: int) -> Ints:
        """The entries that a rank gets, in order."""
        return np.concatenate([np.arange(piece.start, piece.stop) for piece in self._pieces(rank)])

    def places(self, rank: int, entries: Ints) -> tuple[Ints, Ints]:
        """Which of some entries (k,) a rank gets, and where these lie among those that it gets."""
        chosen, places, n_before = [], [], 0
        for piece in self._pieces(rank):
            among = np.flatnonzero((piece.start <= entries) & (entries < piece.stop))
            chosen.append(among)
            places.append(entries[among] - piece.start + n_before)
            n_before += len(piece)
        return np.concatenate(chosen), np.concatenate(places)

    def sum(self, comm: Communicator, values: Vector) -> Vector:
        """(k, m) the entries of this rank in the sum of `values` (k, n) over the ranks."""
        of_all = np.concatenate([values[:, each.start : each.stop] for each in self._between], axis=1)
        comm.sum_in_place(of_all)
        found, first = [of_all[:, : len(self._between[0])]], len(self._between[0])
        for stripe, after in zip(self.stripes, self._between[1:], strict=True):
            found.append(comm.sum_shares(values[:, stripe.start : stripe.stop], stripe.counts))
            found.append(of_all[:, first : first + len(after)])
            first += len(after)
        return np.concatenate(found, axis=1)

    def gather(self, comm: Communicator, own: Vector) -> Vector | None:
        """(n,) what all have, `own` (m,) of each, on root; None elsewhere."""
        n_common = sum(map(len, self._between))
        counts = [n_common + sum(each.counts[rank] for each in self.stripes) for rank in range(comm.size)]
        found = comm.gather_shares(own, counts)
        if found is None:
            return None
        whole = np.empty(self._n_entries, own.dtype)
        for rank, first in enumerate(accumulate(counts[:-1], initial=0)):
            for piece in self._pieces(rank):
                whole[piece.start : piece.stop] = found[first : first + len(piece)]
                first += len(piece)
        return whole

    def _pieces(self, rank: int) -> Iterator[range]:
        """The entries of a rank in order, in pieces without gaps."""
        for before, stripe in zip(self._between[:-1], self.stripes, strict=True):
            yield before
            yield stripe.of(rank)
        yield self._between[-1]


def even_counts(n: int, size: int) -> list[int]:
    """How many of n each rank has where they are shared out evenly."""
    return [n // size + (rank < n % size) for rank in range(size)]
