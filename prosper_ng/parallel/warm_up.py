"""Compiling kernels once, not once a rank."""

import os
from collections.abc import Callable

from prosper_ng import compiling
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import agree


def warm_up(comm: Communicator, compile_all: Callable[[], object]) -> None:
    """Have every kernel compiled, or loaded from the cache, on every rank.

    Root compiles first, then the lowest rank of every other host (which finds root's work if the hosts share the
    folder), then the rest, who only load. On root people are told, if there is anything to compile.
    Raises what `compile_all` raises on all ranks.
    """
    hosts = comm.broadcast(comm.gather(os.uname().nodename)) or []
    is_first_of_host = hosts.index(hosts[comm.rank]) == comm.rank
    turn = 0 if comm.is_root else 1 if is_first_of_host else 2
    for now in range(3):
        failure = _compile(compile_all, comm.is_root) if now == turn else None
        comm.barrier()  # the others wait without taking cores from the compiler
        agree(comm, failure, "compiling kernels")


def _compile(compile_all: Callable[[], object], is_told: bool) -> Exception | None:
    with compiling.told(is_told), compiling.alone():
        try:
            compile_all()
        except Exception as error:
            return error
    return None
