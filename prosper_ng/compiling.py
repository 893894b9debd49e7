"""Compiling kernels: one process at a time does it, and people hear of it.

At the first kernel that is in no file, whoever expects to compile many (`alone`) takes the lock of their folder, and
keeps it to the end; other processes wait, and then find everything there. The lock saves work and protects nothing:
whoever cannot have it compiles all the same.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LOCK = ".compiling.lock"
_PATIENCE = 120.0
"""Seconds in which whoever holds the lock finishes a kernel, or is stuck; file systems tell of changes within 60."""


class Progress(NamedTuple):
    """How far it is."""

    n_kernels: int
    """That were compiled."""
    seconds: float
    """Since the first of them was missing."""
    is_waiting: bool = False
    """For another process, which compiles."""
    is_done: bool = False


Watch = Callable[[Progress], None]


def tell(progress: Progress) -> None:
    """Show it on stderr, where that is a terminal or a notebook."""
    stream = sys.stderr
    if stream is None or not (stream.isatty() or type(stream).__module__.startswith("ipykernel")):
        return
    text = "waiting for another process, which compiles kernels"
    if not progress.is_waiting:
        text = "compiling kernels for this version, about half a minute, once"
        text = f"\r{text}: {progress.n_kernels} done, {progress.seconds:.0f} s"
    stream.write(f"{text}\n" if progress.is_waiting or progress.is_done else text)
    stream.flush()


_watch: ContextVar[Watch | None] = ContextVar("watch of compiling", default=tell)
_tally: ContextVar["Tally | None"] = ContextVar("tally of compiling", default=None)


@contextlib.contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    """Have compiling told to somebody else, or to nobody, for as long as this lasts."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


@contextlib.contextmanager
def told(is_told: bool = True) -> Iterator["Tally"]:
    """Have people hear of compiling if they are to be told; what is inside another one belongs to that."""
    outer = _tally.get()
    if outer is not None:
        yield outer
        return
    own = Tally(_watch.get() if is_told else None)
    token = _tally.set(own)
    try:
        yield own
    finally:
        _tally.reset(token)
        own.end()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Have no other process compile meanwhile that says the same, once there is something to compile."""
    _lock.enter()
    try:
        yield
    finally:
        _lock.leave()


def missing(folder: Path | None) -> bool:
    """Note that a kernel is in no file of a folder; whether it may be there by now, for another process was at work.

    numba's own lock lets one thread at a time come here.
    """
    tally = _tally.get()
    if folder is not None and _lock.take(folder, tally):
        return True
    if tally is not None:
        tally.begin()
    return False


def compiled() -> None:
    """Note that a kernel was compiled."""
    tally = _tally.get()
    if tally is not None:
        tally.add()


class Tally:
    """Counts what is compiled, and tells of it."""

    def __init__(self, watch: Watch | None) -> None:
        """Nothing is compiled yet."""
        self.n_kernels = 0
        self._began: float | None = None
        """When the first kernel was missing."""
        self._last = 0.0
        self._watch = watch

    def __str__(self) -> str:
        kernels = "1 kernel" if self.n_kernels == 1 else f"{self.n_kernels} kernels"
        return f"{kernels} compiled in {self.seconds:.1f} s"

    @property
    def seconds(self) -> float:
        """From the first kernel that was missing to the end of the last one."""
        return 0.0 if self._began is None else self._last - self._began

    def wait(self) -> None:
        """Another process compiles."""
        self._tell(is_waiting=True)

    def begin(self) -> None:
        """A kernel is to be compiled."""
        if self._began is None:
            self._began = self._last = time.monotonic()
            self._tell()

    def add(self) -> None:
        """A kernel was compiled."""
        self.begin()
        self.n_kernels, self._last = self.n_kernels + 1, time.monotonic()
        self._tell()

    def end(self) -> None:
        """Nothing more is compiled."""
        if self._began is not None:
            self._tell(is_done=True)

    def _tell(self, is_waiting: bool = False, is_done: bool = False) -> None:
        if self._watch is not None:
            self._watch(Progress(self.n_kernels, self.seconds, is_waiting, is_done))


class _Lock:
    """That of the folder, held by this process for as long as any of its threads wants to compile alone."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._n_users = 0
        self._was_tried = False
        self._held: BaseFileLock | None = None

    def enter(self) -> None:
        """One more wants it."""
        with self._guard:
            self._n_users += 1

    def leave(self) -> None:
        """One less wants it, and with the last one it is given back."""
        with self._guard:
            self._n_users -= 1
            if self._n_users:
                return
            held, self._held, self._was_tried = self._held, None, False
        if held is not None:
            held.release()

    def take(self, folder: Path, tally: Tally | None) -> bool:
        """Have the lock where somebody wants it, or go without; whether another process had it meanwhile."""
        if self._was_tried or not self._n_users:
            return False
        from filelock import FileLock, Timeout

        self._was_tried = True
        lock = FileLock(folder / _LOCK, thread_local=False, fallback_to_soft=False)
        has_waited = False
        # Where there are no locks, as on some network file systems, it goes without.
        with contextlib.suppress(OSError, NotImplementedError):
            while self._held is None:
                before = folder.stat().st_mtime_ns
                try:
                    lock.acquire(timeout=_PATIENCE if has_waited else 0)
                    self._held = lock
                except Timeout:
                    if has_waited and folder.stat().st_mtime_ns == before:
                        break  # whoever holds it is stuck
                    if not has_waited and tally is not None:
                        tally.wait()
                    has_waited = True
        return has_waited


_lock = _Lock()
