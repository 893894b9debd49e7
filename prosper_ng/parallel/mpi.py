"""A group of MPI ranks. The only file that imports mpi4py, and only when a launcher has started the process."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from prosper_ng import plugins
from prosper_ng.errors import UserError
from prosper_ng.parallel import shared_memory
from prosper_ng.parallel.communicator import Communicator, SerialCommunicator
from prosper_ng.parallel.failure import collectively
from prosper_ng.parallel.launcher import corrected_command, launch, misfit
from prosper_ng.parallel.orphan import end_with_parent
from prosper_ng.parallel.warm_up import share_places

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")
Vector = NDArray[Any]

_LARGEST_COUNT = 1 << 30  # below the 2^31 - 1 elements that MPI's classic interface can count
_LARGEST_MESSAGE = 1 << 20  # bytes of a pickled control message
_PIECE_BYTES = 1 << 24  # bytes of rows that root takes from another rank at a time
_LAST_MOMENT = 5.0  # seconds that a launcher gets to end a rank before it ends itself
_LONGEST_NAP = 1e-3  # seconds between two looks at something that is waited for


class LaunchError(UserError):
    """The processes were not started as one group of ranks."""


def connect(expected_ranks: int | None = None) -> Communicator:
    """The group this process was started in: the serial twin without a launcher, MPI's world with one.

    `expected_ranks` is what a generated script asked its launcher for.
    Raises LaunchError, with the command that would be right, where the launcher speaks of more ranks than MPI has
    (processes that each believe to be alone would all do the same work), the launcher and the library do not fit, or
    no MPI library is found.
    """
    started = launch(os.environ)
    if started is None:
        if (expected_ranks or 1) > 1:
            raise LaunchError(
                f"expected {expected_ranks} ranks, but no MPI launcher has started this process; start it with\n"
                f"  {corrected_command(expected_ranks or 1, '', os.environ)}"
            )
        return SerialCommunicator()
    end_with_parent()
    if started.local_rank == 0 and (lacking := shared_memory.lack(os.environ)) is not None:
        # Before MPI is initialized, which may be the last that this process does.
        print(f"warning: {lacking}", file=sys.stderr, flush=True)
    mpi = load_library(max(expected_ranks or 1, started.size or 1))
    world = mpi.COMM_WORLD
    wanted = max(expected_ranks or 1, (started.size or 1) if world.size == 1 else 1)
    if world.size < wanted:
        library = mpi.get_vendor()[0]
        raise LaunchError(
            f"the launcher was asked for {wanted} ranks, but this process finds itself in a group of {world.size}: the "
            f"launcher does not fit the MPI library ({library}); start it with\n"
            f"  {corrected_command(wanted, library, os.environ)}"
        )
    comm = MpiCommunicator(world)
    if comm.size > 1:
        share_places(comm)
    if plugins.digests():
        _require_same_files(comm)
    return comm


def _require_same_files(comm: Communicator) -> None:
    """Raise UserError, on all ranks, where some have imported other plug-ins than root."""
    mine, roots = plugins.digests(), comm.broadcast(plugins.digests())
    with collectively(comm, "importing plug-ins"):
        for name, digest in roots.items():
            if mine.get(name) != digest:
                raise UserError(f"--import {name}: {os.uname().nodename} has another file of this name than root")


@contextmanager
def group_of(comm: Any) -> Iterator[Communicator]:
    """The group that a caller named, for as long as this lasts: none, a communicator of mpi4py, or one of this package.

    All its ranks enter and leave together. Raises UserError where it is nothing of the kind.
    """
    if comm is None:
        yield SerialCommunicator()
    elif hasattr(comm, "Get_rank"):
        with closing(MpiCommunicator(comm)) as group:
            yield group
    elif hasattr(comm, "gather_rows"):
        yield comm
    else:
        raise UserError(f"comm must be None or a communicator of mpi4py, not {type(comm).__name__}")


def may_be_called_by_threads(comm: Any) -> bool:
    """Whether another thread than the main one may use a group that a caller named, if one at a time does."""
    if not hasattr(comm, "Get_rank"):
        return True
    from mpi4py import MPI

    return bool(MPI.Query_thread() >= MPI.THREAD_SERIALIZED)


def load_library(n_ranks: int) -> Any:
    """The module mpi4py.MPI, MPI initialized; `n_ranks` is what the right command would start.

    Raises LaunchError where there is no MPI library, or one that does not fit the launcher.
    """
    import mpi4py

    # Only the main thread calls MPI, but below this level MPICH does not yield the core while it waits, and where ranks
    # share cores a collective takes hundreds of times longer. The price is a few microseconds a call.
    mpi4py.rc(thread_level="multiple", initialize=False, finalize=True)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise LaunchError(
            f"the MPI library cannot be loaded on {os.uname().nodename} ({reason}); install one with\n"
            f'  {sys.executable} -m pip install "prosper_ng[mpi]"\n'
            "or let MPI4PY_LIBMPI name the library of this site"
        ) from None
    if not MPI.Is_initialized():
        wrong = misfit(*MPI.get_vendor(), MPI.Get_library_version(), os.environ)
        if wrong is not None:
            command = corrected_command(n_ranks, MPI.get_vendor()[0], os.environ)
            raise LaunchError(f"{wrong}; start it with\n  {command}")
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
    return MPI


def library_version() -> str | None:
    """Name and version of the MPI library in use, such as "MPICH 5.0.2"; None where none was loaded."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is None:
        return None
    name, numbers = mpi.get_vendor()
    return f"{name} {'.'.join(map(str, numbers))}"


class MpiCommunicator:
    """The ranks of an MPI communicator. Collectives, rows and failures each have a duplicate of their own."""

    def __init__(self, world: "MPI.Intracomm") -> None:
        """Duplicate `world`; all its ranks must do so."""
        self.rank: int = world.Get_rank()
        self.size: int = world.Get_size()
        self.is_root: bool = self.rank == 0
        self.library: str | None = _library_name()
        self._world = world
        self._group = world.Dup()
        self._rows = world.Dup()
        self._failures = world.Dup()

    def close(self) -> None:
        """Give the duplicates back; all ranks do so, and use the group no more."""
        for duplicate in (self._group, self._rows, self._failures):
            duplicate.Free()

    def sum_in_place(self, values: Vector) -> None:
        """Replace `values` by their sum over the ranks."""
        from mpi4py import MPI

        for piece in _pieces(values):
            self._group.Allreduce(MPI.IN_PLACE, piece, MPI.SUM)

    def sum_shares(self, values: Vector, counts: Sequence[int]) -> Vector:
        """The columns of this rank in the sum of `values` over the ranks; see Communicator."""
        from mpi4py import MPI

        own = np.empty((len(values), counts[self.rank]), values.dtype)
        for row, mine in zip(values, own, strict=True):
            self._group.Reduce_scatter(row, mine, counts, MPI.SUM)
        return own

    def gather_shares(self, own: Vector, counts: Sequence[int], to_all: bool = False) -> Vector | None:
        """What all ranks have, in rank order on root or on all of them; None elsewhere."""
        own = np.ascontiguousarray(own)
        if not (to_all or self.is_root):
            self._group.Gatherv(own, None, root=0)
            return None
        found = np.empty((sum(counts), *own.shape[1:]), own.dtype)
        place = [found, [count * math.prod(own.shape[1:]) for count in counts]]
        if to_all:
            self._group.Allgatherv(own, place)
        else:
            self._group.Gatherv(own, place, root=0)
        return found

    def max_in_place(self, values: Vector) -> None:
        """Replace `values` by their maximum over the ranks."""
        from mpi4py import MPI

        for piece in _pieces(values):
            self._group.Allreduce(MPI.IN_PLACE, piece, MPI.MAX)

    def broadcast_in_place(self, values: Vector, source: int = 0) -> None:
        """Replace `values` by those of one rank, root where none is named."""
        for piece in _pieces(values):
            self._group.Bcast(piece, root=source)

    def broadcast(self, message: T) -> T:
        """Root's message, on all ranks."""
        from mpi4py import MPI

        packed = self._group.bcast(_packed(message) if self.is_root else None, root=0)
        unpacked: T = MPI.pickle.loads(packed)
        return unpacked

    def gather(self, message: T) -> list[T] | None:
        """All messages in rank order on root, None elsewhere."""
        from mpi4py import MPI

        packed = self._group.gather(_packed(message), root=0)
        return None if packed is None else [MPI.pickle.loads(each) for each in packed]

    def gather_rows(
        self, values: Vector, starts: list[int], into: Callable[[int, Vector], None], takers: Sequence[int] = (0,)
    ) -> None:
        """Hand the takers their ranks' rows in rank order, in bounded pieces; see Communicator."""
        taker = max(rank for rank in takers if rank <= self.rank)
        if taker != self.rank:
            for piece in _row_pieces(values):
                # A synchronous send waits until the taker wants this piece, so nothing piles up there.
                self._rows.Ssend(np.ascontiguousarray(piece).reshape(-1).view(np.uint8), dest=taker)
            return
        stop = min((rank for rank in takers if rank > self.rank), default=self.size)
        failure: Exception | None = None
        for start, piece in self._pieces_of_ranks(values, starts, stop):
            try:
                if failure is None:
                    into(start, piece)
            except Exception as error:
                failure = error  # raised below: the other ranks still wait to send
        if failure is not None:
            raise failure

    def barrier(self) -> None:
        """Wait until all ranks are here, without keeping a core busy."""
        _wait(self._group.Ibarrier(), patience=np.inf)

    def failing_ranks(self, patience: float) -> list[int]:
        """The ranks that call this within `patience` seconds of each other: all, or this one and any below it."""
        everybody = self._failures.Ibarrier()
        if not _wait(everybody, patience):
            token = np.zeros(0, dtype=np.uint8)
            for higher in range(self.rank + 1, self.size):
                self._failures.Isend(token, dest=higher)
            if not _wait(everybody, patience / 4):
                return [*filter(self._failures.Iprobe, range(self.rank)), self.rank]
        return list(range(self.size))

    def abort(self, exit_status: int) -> None:
        """End all ranks at once."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._world.Abort(exit_status)
        time.sleep(_LAST_MOMENT)  # MPICH only asks the launcher for the end, and returns
        os._exit(exit_status)

    def _pieces_of_ranks(self, values: Vector, starts: list[int], stop: int) -> Iterator[tuple[int, Vector]]:
        """On a taker: pieces of the rows of the ranks from it up to `stop`, and the global row each starts at."""
        first, second = starts[self.rank], starts[self.rank + 1]
        for start, piece in zip(_piece_starts(values, first, second), _row_pieces(values), strict=True):
            yield start, np.ascontiguousarray(piece)
        for rank in range(self.rank + 1, stop):
            for start in _piece_starts(values, starts[rank], starts[rank + 1]):
                n_rows = min(_rows_per_piece(values), starts[rank + 1] - start)
                piece = np.empty((n_rows, *values.shape[1:]), dtype=values.dtype)
                self._rows.Recv(piece.reshape(-1).view(np.uint8), source=rank)
                yield start, piece


def _library_name() -> str:
    from mpi4py import MPI

    name, version = MPI.get_vendor()
    return f"{name} {'.'.join(map(str, version))}"


def _pieces(values: Vector) -> Iterator[Vector]:
    """Views of a contiguous numerical array that MPI can count; raises ValueError for any other."""
    if not isinstance(values, np.ndarray) or not values.flags.c_contiguous or values.dtype.kind not in "iufc":
        raise ValueError(f"expected a contiguous array of numbers, got {getattr(values, 'dtype', type(values))}")
    flat = values.reshape(-1)
    for start in range(0, flat.size, _LARGEST_COUNT):
        yield flat[start : start + _LARGEST_COUNT]


def _rows_per_piece(values: Vector) -> int:
    row_bytes = values.dtype.itemsize * int(np.prod(values.shape[1:]))
    return max(1, _PIECE_BYTES // max(1, row_bytes))


def _piece_starts(values: Vector, start: int, stop: int) -> range:
    return range(start, stop, _rows_per_piece(values))


def _row_pieces(values: Vector) -> Iterator[Vector]:
    for start in _piece_starts(values, 0, len(values)):
        yield values[start : start + _rows_per_piece(values)]


def _packed(message: Any) -> bytes:
    """A control message as bytes; raises ValueError for what should travel as an array."""
    from mpi4py import MPI

    packed: bytes = MPI.pickle.dumps(message)
    if len(packed) > _LARGEST_MESSAGE:
        raise ValueError(f"a message of {len(packed)} bytes is too large for objects; arrays have methods of their own")
    return packed


def _wait(request: "MPI.Request", patience: float) -> bool:
    """Whether a request completed in time; the waits between two looks grow, so that short ones stay short."""
    end, nap = time.monotonic() + patience, 1e-6
    while not request.Test():
        if time.monotonic() > end:
            return False
        time.sleep(nap)
        nap = min(2 * nap, _LONGEST_NAP)
    return True
