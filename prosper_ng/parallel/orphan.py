"""A rank does not outlive what started it: Open MPI's ranks would, where their launcher is killed."""

import contextlib
import os
import threading

_INTERVAL = 1.0
"""Seconds between two looks."""
_STATUS = 143
"""What a shell reports of a process that was asked to end (SIGTERM)."""


def end_with_parent(interval: float = _INTERVAL) -> None:
    """Watch the parent of this process from now on, and end at once when it is gone.

    The ranks of a killed launcher would go on without anybody who could stop them, and hold the run folder. There is
    nothing to save: whoever kills a launcher with warning gets a checkpoint, see experiments/signals.py.
    """
    threading.Thread(target=_watch, args=(os.getppid(), interval), name="orphan watch", daemon=True).start()


def _watch(parent: int, interval: float) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(interval)
    host, pid = os.uname().nodename, os.getpid()
    with contextlib.suppress(OSError):  # the other end of the pipe may be gone, too
        os.write(2, f"process {pid} on host {host} ends: its launcher, process {parent}, is gone\n".encode())
    os._exit(_STATUS)
