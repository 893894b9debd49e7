"""The lock of a run folder: one process at a time writes there."""

import contextlib
import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from prosper_ng import access
from prosper_ng.errors import UserError
from prosper_ng.storage import batch_job
from prosper_ng.storage.status import now

NAME = "run.lock"
_HEARTBEAT_SECONDS = 30.0
_MISSED_HEARTBEATS = 10
_SETTLE_SECONDS = 0.25
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class LockError(UserError):
    """Another process writes in the run folder."""


class RunLock:
    """Holds a run folder for this process: `with RunLock(folder): ...`; for root only.

    A thread touches the lock file all the time, so that the lock of a process that is gone can be told from that of a
    busy one, also from another host. Advisory locks of the system are no help: many network file systems have none.
    """

    def __init__(self, folder: Path, heartbeat_seconds: float = _HEARTBEAT_SECONDS) -> None:
        """A lock that is not yet held; it is stale once `heartbeat_seconds` have passed 10 times without a sign."""
        self.path = folder / NAME
        self.took_over: str | None = None
        """Whose stale lock was taken over, for the log."""
        self._interval = heartbeat_seconds
        self._token = uuid.uuid4().hex
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "RunLock":
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock; raises LockError that names the holder where somebody has it, or says why nobody can tell."""
        while not self._create():
            holder = _read(self.path)
            if holder is None:
                continue
            if not self._is_stale(holder) or not self._take_over(holder):
                raise LockError(
                    f"{self.path.parent} is in use by {_named(_read(self.path) or holder)}: wait for that run, or stop "
                    f"it, or choose another folder; if it is gone for sure, remove {self.path}"
                )
            self.took_over = _named(holder)
            break
        self._thread = threading.Thread(target=self._beat, name="lock heartbeat", daemon=True)
        self._thread.start()

    def verify(self) -> None:
        """Raise LockError where somebody else has taken the lock, as after a long time asleep."""
        holder = _read(self.path)
        if not self._is_own(holder):
            by = "nobody" if holder is None else _named(holder)
            raise LockError(f"the lock of this run on {self.path.parent} was lost; it now belongs to {by}")

    def release(self) -> None:
        """Give the lock back, if it is still this process's."""
        self._released.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            with contextlib.suppress(LockError, OSError):
                self.verify()
                self.path.unlink()

    def _create(self) -> bool:
        """Whether the lock file could be made, whole from its first moment on; False where there is one."""
        try:
            with self._own_copy() as own:
                # A name for a finished file is given to one process only. Opening exclusively and writing then would
                # leave an empty lock, which tells nothing of its holder, where the process is killed in between.
                os.link(own, self.path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in _NO_LINKS:
                return self._create_in_two_steps()
            raise self._not_writable(error) from error
        return True

    def _create_in_two_steps(self) -> bool:
        """As `_create`, for file systems without hard links."""
        try:
            with self.path.open("x", encoding="utf-8") as stream:
                stream.write(self._content())
        except FileExistsError:
            return False
        except OSError as error:
            raise self._not_writable(error) from error
        return True

    @contextlib.contextmanager
    def _own_copy(self) -> Iterator[Path]:
        """The content of this process's lock in a file of another name, which is gone afterwards."""
        own = self.path.with_name(f".{NAME}.{self._token}.tmp")
        try:
            own.write_text(self._content(), encoding="utf-8")
            yield own
        finally:
            with contextlib.suppress(OSError):
                own.unlink(missing_ok=True)

    def _not_writable(self, error: OSError) -> LockError:
        return LockError(f"{self.path.parent} cannot be written to ({error.strerror})")

    def _take_over(self, holder: dict[str, Any]) -> bool:
        """Put this process in the place of a holder that is gone; False where somebody else did so at the same time."""
        try:
            with self._own_copy() as own:
                if _read(self.path) != holder:
                    return False
                own.replace(self.path)
        except OSError as error:
            raise self._not_writable(error) from error
        # Of several that come this far together, the last one has the lock: it is seen by all after a moment.
        time.sleep(_SETTLE_SECONDS)
        return self._is_own(_read(self.path))

    def _is_own(self, holder: dict[str, Any] | None) -> bool:
        return holder is not None and holder.get("token") == self._token

    def _content(self) -> str:
        pid = os.getpid()
        process = {"host": socket.gethostname(), "pids": _numbering(), "pid": pid, "born": _birth(pid), "since": now()}
        job = {"job": batch_job.job_id(), "restart": batch_job.restart_count(), "cluster": batch_job.cluster()}
        return json.dumps({**process, **job, "token": self._token})

    def _is_stale(self, holder: dict[str, Any]) -> bool:
        return _is_seen_dead(holder) or _job_is_over(holder) or self.silence() > self._interval * _MISSED_HEARTBEATS

    def silence(self) -> float:
        """Seconds since the lock was touched, by the clock of the file system, which is the same for all hosts."""
        probe = self.path.with_name(f".{NAME}.{self._token}.probe.tmp")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except OSError:
            return 0.0  # the lock was given back, or the disk does not let anybody tell
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(self._interval):
            with contextlib.suppress(LockError, OSError):
                self.verify()
                os.utime(self.path)


def is_held(folder: Path) -> bool:
    """Whether a process that seems alive holds the folder; no scheduler is asked for the jobs of other hosts."""
    lock = RunLock(folder)
    try:
        holder = _read(lock.path)
    except LockError:
        holder = {}
    if holder is None or _is_seen_dead(holder):
        return False
    return lock.silence() <= _HEARTBEAT_SECONDS * _MISSED_HEARTBEATS


def _read(path: Path) -> dict[str, Any] | None:
    """What the lock file says, {} where that makes no sense, None where there is none; LockError where it is kept."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        found = access.cannot_open(error, path)
        if found is not None:
            raise LockError(f"whether {path.parent} is in use cannot be told: {found}") from error
        return None if isinstance(error, FileNotFoundError) else {}
    return content if isinstance(content, dict) else {}


def _is_seen_dead(holder: dict[str, Any]) -> bool:
    """Whether this process would see the one that made the lock if it still ran, and does not.

    Containers may share the name of their host and number their processes each for itself.
    """
    if holder.get("host") != socket.gethostname() or holder.get("pids", _numbering()) != _numbering():
        return False
    return not _is_alive(holder)


def _numbering() -> str | None:
    """What tells from others the processes that have numbers in common; None where the system does not say."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _is_alive(holder: dict[str, Any]) -> bool:
    """Whether the process on this host that made the lock still runs; True where that cannot be told."""
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    # Numbers of processes are used again, after a restart of a container even at once.
    return holder.get("born") == _birth(pid)


def _job_is_over(holder: dict[str, Any]) -> bool:
    """Whether the job of the holder has ended, as far as a job of the same cluster can tell.

    Elsewhere its number may belong to another job, or to none although it runs.
    """
    job = holder.get("job")
    if not isinstance(job, str) or batch_job.cluster() is None or holder.get("cluster") != batch_job.cluster():
        return False
    if job == batch_job.job_id():
        # Slurm starts a job again only when the attempt before is over.
        return holder.get("restart") != batch_job.restart_count()
    return batch_job.is_gone(job)


def _birth(pid: int) -> str | None:
    """When a process was started, in ticks of the system; None where the system does not say, `dead` for a zombie."""
    try:
        state, *numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return "dead" if state in "ZX" else numbers[18]


def _named(holder: dict[str, Any]) -> str:
    if not holder:
        return "an unknown process"
    job = f" of job {holder['job']}" if holder.get("job") else ""
    return f"process {holder.get('pid')}{job} on host {holder.get('host')} since {holder.get('since')}"
