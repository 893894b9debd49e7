"""The memory through which ranks of a host talk to each other: containers give little of it, and MPI dies of that."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from prosper_ng.parallel.launcher import launch, local_size

FOLDER = Path("/dev/shm")
_MIB = 1 << 20
_NEEDED = 6 * _MIB
"""Of each rank. Measured with MPICH 5.0 over UCX, three communicators and messages above a MiB: 5.3 MiB; it dies of a
bus error below 1 MiB, and of others on the way.
"""


class SharedMemory(NamedTuple):
    """What a host has of it."""

    folder: Path
    total: int
    """Bytes; 0 where there is no bound."""
    free: int
    trouble: str = ""
    """Why it cannot be used at all."""

    @property
    def n_ranks(self) -> int | None:
        """How many ranks it is enough for; None where there is no bound."""
        return None if self.total == 0 and not self.trouble else self.free // _NEEDED

    def is_enough(self, n_ranks: int) -> bool:
        """Whether so many ranks of a host have room."""
        return self.n_ranks is None or n_ranks <= self.n_ranks

    @property
    def words(self) -> str:
        """What there is, and what it is enough for."""
        if self.trouble:
            return f"{self.folder} {self.trouble}, which MPI needs"
        if self.n_ranks is None:
            return f"{self.folder} has no bound"
        n = self.n_ranks
        room = "no rank of MPI on this host" if n == 0 else f"{n} {'rank' if n == 1 else 'ranks'} of MPI on this host"
        return (
            f"{self.folder} has {self.free / _MIB:.0f} of {self.total / _MIB:.0f} MiB free, which is enough for {room}"
        )

    @property
    def remedy(self) -> str:
        """What to do for more of it."""
        if self.total >= 2 * _NEEDED and self.free < self.total / 2:
            return f"remove what fills {self.folder}"
        return "start the container with more, such as docker run --shm-size=1g, or with --ipc=host"


def look(folder: Path = FOLDER) -> SharedMemory | None:
    """What this host has; None on systems that have no such folder."""
    if sys.platform != "linux":
        return None
    if not folder.is_dir():
        return SharedMemory(folder, 0, 0, "does not exist")
    try:
        with tempfile.TemporaryFile(dir=folder):
            found = os.statvfs(folder)
    except OSError as error:
        return SharedMemory(folder, 0, 0, f"cannot be written ({error.strerror})")
    return SharedMemory(folder, found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def lack(environment: Mapping[str, str], folder: Path = FOLDER) -> str | None:
    """What the ranks that a launcher has started on this host lack, in a sentence; None where they lack nothing."""
    n_ranks, found = local_size(environment), look(folder)
    if launch(environment) is None or found is None or found.is_enough(n_ranks):
        return None
    return f"{found.words}, {started(n_ranks)}; {found.remedy}"


def started(n_ranks: int) -> str:
    """What may become of so many ranks that lack memory."""
    return f"and {n_ranks} {'was' if n_ranks == 1 else 'were'} started: MPI may die of a bus error"
