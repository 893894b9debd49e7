"""Compiling kernels once, not once a rank."""

import os
from collections.abc import Callable

from prosper_ng.environment import own_kernel_cache
from prosper_ng.errors import UserError
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import agree


def warm_up(comm: Communicator, compile_all: Callable[[], None]) -> None:
    """Have every kernel compiled, or loaded from the cache, on every rank.

    numba's cache is not made for several writers: two ranks that fill an empty one can spoil it for good. So root
    compiles first, then the lowest rank of every other host (which finds root's work if the hosts share the folder),
    then the rest, who only load. A cache that cannot be read is emptied and filled once more.
    Raises what `compile_all` raises on all ranks.
    """
    hosts = comm.broadcast(comm.gather(os.uname().nodename)) or []
    is_first_of_host = hosts.index(hosts[comm.rank]) == comm.rank
    turn = 0 if comm.is_root else 1 if is_first_of_host else 2
    for now in range(3):
        failure = _compile(compile_all) if now == turn else None
        comm.barrier()  # the others wait without taking cores from the compiler
        agree(comm, failure, "compiling kernels")


def _compile(compile_all: Callable[[], None]) -> Exception | None:
    try:
        try:
            compile_all()
        except UserError:
            raise
        except Exception:
            if not _empty_cache():
                raise
            compile_all()
    except Exception as error:
        return error
    return None


def _empty_cache() -> bool:
    """Delete all compiled kernels; whether there were any that may be deleted."""
    folder = own_kernel_cache(os.environ)
    if folder is None:
        return False
    # The folders stay: numba made them when it was told of the kernels, and expects them.
    compiled = [path for path in folder.rglob("*") if path.suffix in (".nbi", ".nbc")]
    for path in compiled:
        path.unlink(missing_ok=True)
    return bool(compiled)
