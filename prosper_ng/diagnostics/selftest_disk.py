"""A small disk of its own for the self-test, where the system lets this user mount one."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_MEBIBYTES = 8
_ATTEMPTS, _PAUSE = 20, 0.1
"""A disk is busy while the system still closes files of a process that was killed."""


class NotPossible(Exception):
    """Why something cannot be tried here."""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of a few MiB (tmpfs) at `folder` for as long as the block lasts; raises NotPossible."""
    folder.mkdir(exist_ok=True)
    _mount(f"size={_MEBIBYTES}m", folder)
    try:
        yield folder
    finally:
        # What is still open somewhere goes with its process.
        if _patiently("umount", str(folder)) is not None:
            _run("umount", "-l", str(folder))


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Nothing can be written to a small disk for as long as the block lasts; raises NotPossible."""
    _mount("remount,ro", disk)
    try:
        yield
    finally:
        _mount("remount,rw", disk)


def _mount(options: str, folder: Path) -> None:
    reason = _patiently("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    if reason is not None:
        raise NotPossible(f"needs the right to mount a small disk ({reason})")


def _patiently(*command: str) -> str | None:
    """As `_run`, again and again while the disk is busy."""
    for _ in range(_ATTEMPTS):
        reason = _run(*command)
        if reason is None or "busy" not in reason:
            break
        time.sleep(_PAUSE)
    return reason


def _run(*command: str) -> str | None:
    """None where the command succeeds, else the first line of what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[0]
