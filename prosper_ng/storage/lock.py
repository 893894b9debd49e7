"""The lock of a run folder: one process at a time writes there."""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from prosper_ng.errors import UserError
from prosper_ng.storage.status import job_id, now

NAME = "run.lock"
_HEARTBEAT_SECONDS = 30.0
_MISSED_HEARTBEATS = 10
_SETTLE_SECONDS = 0.25


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
        """Take the lock; raises LockError that names the holder where somebody has it."""
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
        """Whether the lock file could be made; False where there is one."""
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise LockError(f"{self.path.parent} cannot be written to ({error.strerror})") from error
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(self._content())
        return True

    def _take_over(self, holder: dict[str, Any]) -> bool:
        """Put this process in the place of a holder that is gone; False where somebody else did so at the same time."""
        own = self.path.with_name(f".{NAME}.{self._token}.tmp")
        own.write_text(self._content(), encoding="utf-8")
        if _read(self.path) != holder:
            own.unlink()
            return False
        own.replace(self.path)
        # Of several that come this far together, the last one has the lock: it is seen by all after a moment.
        time.sleep(_SETTLE_SECONDS)
        return self._is_own(_read(self.path))

    def _is_own(self, holder: dict[str, Any] | None) -> bool:
        return holder is not None and holder.get("token") == self._token

    def _content(self) -> str:
        pid = os.getpid()
        holder = {"host": socket.gethostname(), "pid": pid, "born": _birth(pid), "job": job_id(), "since": now()}
        return json.dumps({**holder, "token": self._token})

    def _is_stale(self, holder: dict[str, Any]) -> bool:
        if holder.get("host") == socket.gethostname() and not _is_alive(holder):
            return True
        return self._silence() > self._interval * _MISSED_HEARTBEATS

    def _silence(self) -> float:
        """Seconds since the lock was touched, by the clock of the file system, which is the same for all hosts."""
        probe = self.path.with_name(f".{NAME}.{self._token}.probe.tmp")
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(self._interval):
            with contextlib.suppress(LockError, OSError):
                self.verify()
                os.utime(self.path)


def _read(path: Path) -> dict[str, Any] | None:
    """What the lock file says, {} where it says nothing that can be read, None where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


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
