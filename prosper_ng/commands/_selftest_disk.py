"""A small disk of its own for the self-test, where the system lets this user mount one."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_MEBIBYTES = 8
_ATTEMPTS, _PAUSE = 20, 0.1
"""A disk cannot be made read-only while the system still closes files of a process that was killed."""


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
        _run("umount", str(folder))


@contextlib.contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Nothing can be written to a small disk for as long as the block lasts; raises NotPossible."""
    _mount("remount,ro", disk)
    try:
        yield
    finally:
        _mount("remount,rw", disk)


def _mount(options: str, folder: Path) -> None:
    for _ in range(_ATTEMPTS):
        reason = _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
        if reason is None:
            return
        if "busy" not in reason:
            break
        time.sleep(_PAUSE)
    raise NotPossible(f"needs the right to mount a small disk ({reason})")


def _run(*command: str) -> str | None:
    """None where the command succeeds, else the last line of what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
