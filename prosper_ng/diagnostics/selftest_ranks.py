"""Runs that the self-test starts like a user would, and whose processes it can find and kill."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prosper_ng.errors import UserError

PATIENCE = 10.0
"""Seconds within which all processes of a disturbed run must be gone."""
LONGEST = 300.0
"""Seconds after which a run is said to hang."""
_POLL = 0.002


class Ranks:
    """One start of `prosper-ng run` on some ranks, in a session of its own."""

    def __init__(
        self,
        launcher: Sequence[str],
        n_ranks: int,
        arguments: Sequence[str],
        said: Path,
        largest_file: int | None = None,
    ) -> None:
        """Start it; without a launcher as a single process. What it says goes to the file `said`.

        Its files can grow to `largest_file` bytes.
        """
        command = [sys.executable, "-m", "prosper_ng", *arguments]
        if launcher:
            command = [*launcher, "-n", str(n_ranks), *command]
        self._said = said
        with said.open("wb") as stream, limited_files(largest_file):
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        self._known: set[int] = set()

    def ranks(self) -> list[int]:
        """The processes on this host that are ranks, in order of their numbers."""
        below = descendants(self.process.pid)
        self._known.update(below)
        return sorted(pid for pid in below if is_rank(pid))

    @property
    def is_running(self) -> bool:
        """Whether the launcher has not ended."""
        return self.process.poll() is None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let its ranks sleep for as long as the block lasts."""
        sleeping = self.ranks() or [self.process.pid]
        try:
            for pid in sleeping:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in sleeping:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def kill(self, processes: Sequence[int]) -> float:
        """Kill some of its processes; the seconds until all of them were gone, infinite where some stay."""
        self.ranks()
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self.seconds_to_the_end(PATIENCE)

    def seconds_to_the_end(self, patience: float) -> float:
        """Wait until no process is left; the rest is killed, and the time infinite, after `patience` seconds."""
        began = time.monotonic()
        while time.monotonic() - began < patience:
            if not self.is_running and not any(map(is_alive, self._known)):
                return time.monotonic() - began
            time.sleep(_POLL)
        self.end()
        return float("inf")

    def wait(self) -> int:
        """The exit status of a run left alone; raises UserError where it hangs."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.end()
            raise UserError(f"a run did not end within {LONGEST:.0f} s; it said:\n{self.output()}") from None

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Whether something came to be before the run ended, looking at it all the time."""
        while self.is_running:
            if condition():
                return True
            time.sleep(_POLL)
        return False

    def output(self) -> str:
        """What it has said so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        """Kill whatever is left of it."""
        self._known.update(descendants(self.process.pid))
        for pid in [self.process.pid] * self.is_running + [pid for pid in self._known if is_alive(pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def limited_files(n_bytes: int | None) -> Iterator[None]:
    """Processes started in this block cannot write larger files, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if n_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def descendants(ancestor: int) -> list[int]:
    """The processes that a process has started, directly or not."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _fields(int(folder.name))
        if fields is not None:
            parents[int(folder.name)] = int(fields[1])
    found, todo = [], [ancestor]
    while todo:
        parent = todo.pop()
        below = [pid for pid, of in parents.items() if of == parent]
        found += below
        todo += below
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not asked for its status does not."""
    fields = _fields(pid)
    return fields is not None and fields[0] not in ("Z", "X")


def is_rank(pid: int) -> bool:
    """Whether a process is one of prosper-ng itself, not of the launcher."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0] == os.fsencode(sys.executable) and words[1:3] == [b"-m", b"prosper_ng"]


def _fields(pid: int) -> list[str] | None:
    """State and parent of a process, and more; None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
