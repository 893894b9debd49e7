"""Threads of the numerical libraries: how many there are for the cores of a host, and one where bits depend on it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from numbers import Integral
from threading import Lock
from typing import Any, NamedTuple

from prosper_ng.environment import THREAD_VARIABLES
from prosper_ng.errors import UserError
from prosper_ng.parallel.communicator import Communicator


class HostLoad(NamedTuple):
    """What the ranks of one host want and may use."""

    host: str
    n_ranks: int
    n_threads: int
    """Threads of all its ranks together."""
    n_cores: int
    """Cores that any of its ranks may run on."""


class _Limited:
    """The users of a limit that holds for the whole process, and goes back to what was before with the last of them."""

    lock, n_users = Lock(), 0
    limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Linear algebra in one thread for as long as this lasts, since sums over several may come out otherwise."""
    with _Limited.lock:
        _Limited.n_users += 1
        if _Limited.n_users == 1:
            import_module("scipy.linalg")  # it brings a library of its own, and what is loaded later knows no limit
            _Limited.limit = import_module("threadpoolctl").threadpool_limits(1, "blas")
    try:
        yield
    finally:
        with _Limited.lock:
            _Limited.n_users -= 1
            if _Limited.n_users == 0:
                _Limited.limit.restore_original_limits()


def available_cores() -> set[int]:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def threads_of(n_jobs: int | None) -> int:
    """The number of threads that a caller asked for: one where it is None, as many as there are cores for -1.

    Raises UserError where it is no such number.
    """
    if n_jobs is None:
        return 1
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral) or not (n_jobs >= 1 or n_jobs == -1):
        raise UserError(f"n_jobs must be a number of threads, or -1 for one on each core, not {n_jobs!r}")
    return len(available_cores()) if n_jobs == -1 else int(n_jobs)


def threads_per_rank() -> int:
    """The threads that the numerical libraries of this process were told to use, the largest of their numbers."""
    told = [os.environ.get(name, "") for name in THREAD_VARIABLES]
    return max([int(value) for value in told if value.isdecimal()], default=len(available_cores()))


def host_loads(comm: Communicator) -> list[HostLoad] | None:
    """One entry for each host, in order of its lowest rank, on root; None elsewhere."""
    reports = comm.gather((os.uname().nodename, threads_per_rank(), sorted(available_cores())))
    if reports is None:
        return None
    loads = []
    for host in dict.fromkeys(report[0] for report in reports):
        threads = [n_threads for name, n_threads, _ in reports if name == host]
        cores = {core for name, _, allowed in reports for core in allowed if name == host}
        loads.append(HostLoad(host, len(threads), sum(threads), len(cores)))
    return loads


def warn_if_oversubscribed(comm: Communicator, say: Callable[[str], None]) -> None:
    """Have root say a sentence for each host on which there are more threads than cores."""
    for load in host_loads(comm) or []:
        if load.n_threads > load.n_cores:
            say(
                f"{load.n_ranks} ranks with {load.n_threads} threads share {load.n_cores} cores on {load.host}: "
                f"they will wait for each other; start fewer ranks, or set PROSPER_NG_THREADS=1"
            )
