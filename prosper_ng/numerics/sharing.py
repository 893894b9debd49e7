"""Work that several do a share of each, whoever they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Share(NamedTuple):
    """The part of one of several; each leaves zeros for what the others find."""

    number: int = 0
    n_shares: int = 1
    add_up: Callable[[NDArray[np.float64]], None] = lambda found: None
    """Replaces what one found (n,) by the sum of what all found."""

    def of(self, n_pieces: int) -> range:
        """The pieces of this one."""
        return range(self.number, n_pieces, self.n_shares)

    def together(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """What all found, whole numbers below 2^53."""
        if self.n_shares == 1:
            return found
        message = found.astype(np.float64).reshape(-1)
        self.add_up(message)
        return message.reshape(found.shape).astype(np.int64)


ALONE = Share()


class Several(NamedTuple):
    """Some who do the same at the same time, each for entries of its own of all arrays (m, ...)."""

    first: int
    """How many entries those before this one have."""
    join: Callable[[Floats], Floats]
    """(C, ...) what all found, of what one found (m, ...)."""


_ALONE = Several(0, lambda found: found)
_several: ContextVar[Several] = ContextVar("several", default=_ALONE)


@contextmanager
def among(several: Several) -> Iterator[None]:
    """Be one of these, as far as this thread calls `of_all` and `own_among`."""
    before = _several.set(several)
    try:
        yield
    finally:
        _several.reset(before)


def of_all(found: Floats) -> Floats:
    """(C, ...) what all found, of what this one found (m, ...) of its own entries; that itself where there is one only.

    All call it at the same place.
    """
    return _several.get().join(np.ascontiguousarray(found))


def total(found: Floats) -> float:
    """The sum over the entries (m,) of all, with the same bits whoever has which."""
    return float(np.sum(of_all(found)))


def row_sums(values: Floats) -> Floats:
    """(m,) sums of rows (m, k), in which it does not show what other rows there are."""
    return np.asarray(np.ascontiguousarray(values).sum(axis=1))


def own_among(entries: Ints, n_own: int) -> tuple[Ints, Ints]:
    """Which of some entries (k,), as all count them, are among the own ones, and where they are there."""
    places = entries - _several.get().first
    chosen = np.flatnonzero((places >= 0) & (places < n_own))
    return chosen, places[chosen]
