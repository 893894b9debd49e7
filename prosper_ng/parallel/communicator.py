"""What the program asks of a group of processes, and the twin of it for a single one."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Vector = NDArray[Any]


class Communicator(Protocol):
    """A group of ranks that call the same methods in the same order.

    Arrays go through the `_in_place` methods and `gather_rows` (contiguous, of equal size and type on all ranks);
    `broadcast` and `gather` carry small control messages only.
    """

    rank: int
    size: int
    library: str | None
    """Name and version of the MPI library; None without one."""

    @property
    def is_root(self) -> bool:
        """Whether this rank decides and writes."""
        ...

    def sum_in_place(self, values: Vector) -> None:
        """Replace `values` by their sum over the ranks."""
        ...

    def sum_shares(self, values: Vector, counts: Sequence[int]) -> Vector:
        """(k, counts[rank]) of the sum of `values` (k, n) over the ranks: the columns behind those of lower ranks."""
        ...

    def gather_shares(self, own: Vector, counts: Sequence[int], to_all: bool = False) -> Vector | None:
        """(n, ...) what all have, `own` (counts[rank], ...) of each, in rank order on root or on all; else None."""
        ...

    def max_in_place(self, values: Vector) -> None:
        """Replace `values` by their maximum over the ranks."""
        ...

    def broadcast_in_place(self, values: Vector, source: int = 0) -> None:
        """Replace `values` by those of one rank, root where none is named."""
        ...

    def broadcast(self, message: T) -> T:
        """Root's message, on all ranks."""
        ...

    def gather(self, message: T) -> list[T] | None:
        """All messages in rank order on root, None elsewhere."""
        ...

    def gather_rows(
        self, values: Vector, starts: list[int], into: Callable[[int, Vector], None], takers: Sequence[int] = (0,)
    ) -> None:
        """Hand the `takers` all rows in rank order, in bounded pieces.

        `values` (n_local, ...) are this rank's rows, `starts[r]` is the first global row of rank r and `starts[size]`
        the number of all rows. `takers` are ranks in order, root first; each takes its own rows and those of the ranks
        up to the next taker: it calls `into(start, piece)` with pieces in global row order, and holds no more than one
        piece of another rank. An error that `into` raises is raised there after all these ranks have sent their rows.
        """
        ...

    def barrier(self) -> None:
        """Wait until all ranks are here, without keeping a core busy."""
        ...

    def failing_ranks(self, patience: float) -> list[int]:
        """The ranks that call this within `patience` seconds of each other: all, or this one and any below it.

        Only for ranks that can no longer take part in anything else.
        """
        ...

    def abort(self, exit_status: int) -> None:
        """End all ranks at once."""
        ...


class SerialCommunicator:
    """The group of one: no MPI library is needed."""

    rank = 0
    size = 1
    library: str | None = None
    is_root = True

    def sum_in_place(self, values: Vector) -> None:
        """Nothing to add."""

    def sum_shares(self, values: Vector, counts: Sequence[int]) -> Vector:
        """The values themselves."""
        return values

    def gather_shares(self, own: Vector, counts: Sequence[int], to_all: bool = False) -> Vector | None:
        """What there is."""
        return own

    def max_in_place(self, values: Vector) -> None:
        """Nothing to compare."""

    def broadcast_in_place(self, values: Vector, source: int = 0) -> None:
        """Nobody to tell."""

    def broadcast(self, message: T) -> T:
        """The message itself."""
        return message

    def gather(self, message: T) -> list[T] | None:
        """The one message."""
        return [message]

    def gather_rows(
        self, values: Vector, starts: list[int], into: Callable[[int, Vector], None], takers: Sequence[int] = (0,)
    ) -> None:
        """All rows in one piece, unless there are none."""
        if len(values):
            into(starts[0], np.ascontiguousarray(values))

    def barrier(self) -> None:
        """Nobody to wait for."""

    def failing_ranks(self, patience: float) -> list[int]:
        """This one."""
        return [0]

    def abort(self, exit_status: int) -> None:
        """End this process."""
        raise SystemExit(exit_status)
