"""How much memory the ranks of a host may still take: what is free there, and what their control groups allow."""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prosper_ng.parallel.communicator import Communicator


class HostMemory(NamedTuple):
    """What the ranks of one host need together, and what they share."""

    host: str
    n_ranks: int
    needed: int
    """Bytes that all its ranks are about to take."""
    available: int | None
    """Bytes that are free for them; None where the system does not tell."""


def available_memory(root: Path = Path("/")) -> int | None:
    """The bytes that this process may still take before the machine, or one of its control groups, has no more.

    Files in the page cache count as free. `root` is the folder that /proc and /sys lie in. None where nothing tells.
    """
    found = [_free_in_machine(root), *_free_in_groups(root)]
    return min((n_bytes for n_bytes in found if n_bytes is not None), default=None)


def host_memory(comm: Communicator, needed: int, root: Path = Path("/")) -> list[HostMemory] | None:
    """One entry for each host, in order of its lowest rank, on root; None elsewhere. `needed` is for this rank."""
    comm.barrier()  # what the ranks have taken so far is taken when they look
    reports = comm.gather((os.uname().nodename, needed, available_memory(root)))
    if reports is None:
        return None
    found = []
    for host in dict.fromkeys(report[0] for report in reports):
        own = [report for report in reports if report[0] == host]
        available = min((free for *_, free in own if free is not None), default=None)
        found.append(HostMemory(host, len(own), sum(report[1] for report in own), available))
    return found


def peak_memory() -> int:
    """The most bytes that this process has had in memory at a time since its program was started."""
    try:
        # What getrusage says is inherited from the process that started this one.
        return _fields(Path("/proc/self/status"))["VmHWM:"] * 1024
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _free_in_machine(root: Path) -> int | None:
    try:
        return _fields(root / "proc/meminfo")["MemAvailable:"] * 1024
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _free_in_groups(root: Path) -> Iterator[int]:
    """What the control groups of this process and those above them have left, in both versions of their interface."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            place, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            place = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside a container the path may be that outside of it; the group itself then lies at the top.
        group = place / path.lstrip("/")
        for folder in [group, *group.parents]:
            if folder.is_relative_to(place) and (left := _left_in(folder, *names)) is not None:
                yield left


def _left_in(folder: Path, limit: str, usage: str, cached: str) -> int | None:
    try:
        most = int((folder / limit).read_text())  # "max" is no number and no limit
        taken = int((folder / usage).read_text())
        reclaimable = _fields(folder / "memory.stat").get(cached, 0)
    except (OSError, ValueError):
        return None
    return max(most - taken + reclaimable, 0)


def _fields(path: Path) -> dict[str, int]:
    """The numbers in a file of lines that begin with a name and a number."""
    words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdecimal()}
