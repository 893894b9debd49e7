"""The ranks that a caller from Python asks for: its own thread, several, or those of an MPI communicator."""

from collections.abc import Callable
from typing import Any, TypeVar

from prosper_ng.errors import UserError
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import collectively, failing_together
from prosper_ng.parallel.mpi import group_of
from prosper_ng.parallel.team import on_team
from prosper_ng.parallel.threads import one_blas_thread, threads_of

S = TypeVar("S")
T = TypeVar("T")


def require_one_of(comm: Any, n_jobs: int | None, name: str | None = None) -> None:
    """Raise UserError, of the call of this name, where threads are asked for beside ranks."""
    if threads_of(n_jobs) > 1 and comm is not None:
        call = f"{name}: " if name else ""
        raise UserError(f"{call}n_jobs={n_jobs} asks for threads beside the ranks of comm; leave one of them out")


def together(comm: Any, n_jobs: int | None, prepare: Callable[[], S], task: Callable[[S, Communicator], T]) -> T:
    """What root's `task(prepared, ranks)` returns, or that of this rank; an error of any is raised on all.

    `prepare` is called once for all threads, since what reads a file for several of them has to be one object, and by
    each rank of MPI for itself. Linear algebra runs in one thread meanwhile.
    """
    n_threads = threads_of(n_jobs)
    with one_blas_thread():
        if n_threads > 1:
            in_common = prepare()
            return on_team(n_threads, lambda ranks: task(in_common, ranks))[0]
        with group_of(comm) as ranks, failing_together(ranks):
            with collectively(ranks, ""):
                own = prepare()
            return task(own, ranks)
