"""Compiling kernels once, not once a rank."""

import os
from collections.abc import Callable

import prosper_ng
from prosper_ng import compiling, kernel_cache, plugins
from prosper_ng.parallel.communicator import Communicator
from prosper_ng.parallel.failure import agree, collectively


def share_places(comm: Communicator) -> None:
    """Have root, and one rank of each other host, find out for all where compiled kernels and plug-ins are.

    A thousand ranks that read all sources, or look into all installed packages, keep a shared file system busy for
    long. Ranks of a host that run from other files, as in several containers, look for themselves.
    """
    with collectively(comm, "looking for compiled kernels"):
        own = kernel_cache.identity()
    started = comm.broadcast(comm.gather((own, prosper_ng.IMPORTED_AT))) or []
    first = [identity for identity, _ in started].index(own)
    ours, found = [since for identity, since in started if identity == own], None
    for is_root in (True, False):  # what root leaves for others is there when they look
        with collectively(comm, "looking for compiled kernels"):
            if first == comm.rank and comm.is_root == is_root:
                found = kernel_cache.find(is_root, min(ours))
                found = kernel_cache.nearby(found) if len(ours) > 1 else found
    gathered = enumerate(comm.gather(found) or [])
    kernel_cache.adopt(comm.broadcast({rank: each for rank, each in gathered if each is not None})[first])
    if comm.broadcast(comm.is_root and not plugins.any_installed()):
        plugins.assume_none_installed()


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
