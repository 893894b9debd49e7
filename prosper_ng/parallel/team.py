"""Ranks that are threads of one process: several cores without MPI, with the same bits.

Kernels let go of Python's lock, so the threads really work side by side. The calling thread is root, so that a signal,
such as that of Ctrl-C, and a listener's drawing come to the thread that they belong to.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import RemoteDefect

T = TypeVar("T")
Vector = NDArray[Any]


class _BrokenUp(RuntimeError):
    """Another thread has come to an error."""


class _Meeting:
    """A barrier. Unlike that of `threading`, it lets all go whom it had together, also where it is broken up then."""

    def __init__(self, size: int) -> None:
        self._size, self._n_here, self._n_held = size, 0, 0
        self._is_broken, self._changed = False, threading.Condition()

    def wait(self) -> None:
        with self._changed:
            number = self._n_held
            self._n_here += 1
            if self._n_here == self._size:
                self._n_here, self._n_held = 0, number + 1
                self._changed.notify_all()
            while self._n_held == number:
                if self._is_broken:
                    raise _BrokenUp
                self._changed.wait()

    def break_up(self) -> None:
        with self._changed:
            self._is_broken = True
            self._changed.notify_all()


class _Team:
    """What the members share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.meeting = _Meeting(size)
        self.board: list[Any] = [None] * size
        self.total: Vector = np.zeros(0)


class TeamMember:
    """One thread of a team, which the rest of the program takes for a rank."""

    library: str | None = None

    def __init__(self, rank: int, team: _Team) -> None:
        """`rank` counts from 0, which is root."""
        self.rank, self.size, self.is_root, self._team = rank, team.size, rank == 0, team

    def sum_in_place(self, values: Vector) -> None:
        """Replace `values` by their sum over the threads."""
        self._reduce(values, np.add)

    def sum_shares(self, values: Vector, counts: Sequence[int]) -> Vector:
        """The columns of this thread in the sum of `values` over the threads; see Communicator."""
        first = sum(counts[: self.rank])
        own = slice(first, first + counts[self.rank])
        self._meet(values)
        with np.errstate(invalid="ignore"):
            total = self._team.board[0][:, own].copy()
            for other in self._team.board[1:]:
                total += other[:, own]
        self.barrier()
        return np.asarray(total)

    def gather_shares(self, own: Vector, counts: Sequence[int], to_all: bool = False) -> Vector | None:
        """What all threads have, in rank order on root or on all of them; None elsewhere."""
        self._meet(own)
        found = np.concatenate(self._team.board) if to_all or self.is_root else None
        self.barrier()
        return found

    def max_in_place(self, values: Vector) -> None:
        """Replace `values` by their maximum over the threads."""
        self._reduce(values, np.maximum)

    def broadcast_in_place(self, values: Vector, source: int = 0) -> None:
        """Replace `values` by those of one thread, root where none is named."""
        self._meet(values)
        if self.rank != source:
            values[...] = self._team.board[source]
        self.barrier()

    def broadcast(self, message: T) -> T:
        """Root's message, on all threads: the object itself, which nobody may write to."""
        self._meet(message)
        found: T = self._team.board[0]
        self.barrier()
        return found

    def gather(self, message: T) -> list[T] | None:
        """All messages in rank order on root, None elsewhere."""
        self._meet(message)
        found = list(self._team.board) if self.is_root else None
        self.barrier()
        return found

    def gather_rows(
        self, values: Vector, starts: list[int], into: Callable[[int, Vector], None], takers: Sequence[int] = (0,)
    ) -> None:
        """Hand the takers their ranks' rows in rank order, which lie in this process already; see Communicator."""
        self._meet(values)
        failure: Exception | None = None
        if self.rank in takers:
            stop = min((rank for rank in takers if rank > self.rank), default=self.size)
            try:
                for rank in range(self.rank, stop):
                    if starts[rank] < starts[rank + 1]:
                        into(starts[rank], np.ascontiguousarray(self._team.board[rank]))
            except Exception as error:
                failure = error  # raised below: the others wait until their rows were taken
        self.barrier()
        if failure is not None:
            raise failure

    def barrier(self) -> None:
        """Wait until all threads are here."""
        self._team.meeting.wait()

    def failing_ranks(self, patience: float) -> list[int]:
        """All: an error on one thread breaks what the others wait for."""
        return list(range(self.size))

    def abort(self, exit_status: int) -> None:
        """Break what the other threads wait for, and end this one."""
        self._team.meeting.break_up()
        raise SystemExit(exit_status)

    def _meet(self, message: Any) -> None:
        """Put something on the board, and wait until all have."""
        self._team.board[self.rank] = message
        self.barrier()

    def _reduce(self, values: Vector, operation: np.ufunc) -> None:
        """Each thread reduces a stretch of the entries, and takes all of them."""
        flat = values.reshape(-1)
        if self.is_root:
            self._team.total = np.empty_like(flat)
        self._meet(flat)
        total, board = self._team.total, self._team.board
        bounds = np.linspace(0, flat.size, self.size + 1).astype(np.int64)
        own = slice(bounds[self.rank], bounds[self.rank + 1])
        with np.errstate(invalid="ignore"):
            total[own] = board[0][own]
            for other in board[1:]:
                operation(total[own], other[own], out=total[own])
        self.barrier()
        flat[...] = total
        self.barrier()


def on_team(size: int, task: Callable[[Communicator], T]) -> list[T]:
    """What `task(communicator)` returns on each of `size` threads that do it together; the calling one is root.

    Raises the error of the lowest thread that came to one by itself. After an interruption it returns as soon as the
    other threads wait for something.
    """
    team = _Team(size)
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    def member(rank: int) -> None:
        try:
            results[rank] = task(TeamMember(rank, team))
        except BaseException as error:
            errors[rank] = error
            team.meeting.break_up()

    others = [
        threading.Thread(target=contextvars.copy_context().run, args=(member, rank), daemon=True)
        for rank in range(1, size)
    ]
    for thread in others:
        thread.start()
    member(0)
    for thread in others:
        thread.join()
    if errors:
        raise min((errors[rank] for rank in sorted(errors)), key=_is_an_echo)
    return [results[rank] for rank in range(size)]


def _is_an_echo(error: BaseException) -> bool:
    """Whether an error only says that another thread has come to one."""
    return isinstance(error, _BrokenUp | RemoteDefect)
