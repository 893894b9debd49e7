"""`status.json`: how a run stands, in one small file that is always whole."""

import errno
import json
import math
import os
import socket
import stat
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from prosper_ng import access
from prosper_ng.errors import UserError
from prosper_ng.storage import atomic
from prosper_ng.storage.batch_job import job_id

State = Literal["running", "finished", "stopped", "failed"]
NAME = "status.json"
_LARGEST = 1 << 20


class StatusError(UserError):
    """The status of a run cannot be told."""


def now() -> str:
    """The time in UTC to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Status:
    """One state of a run."""

    state: State
    iteration: int = 0
    """Sweeps done."""
    n_iterations: int | None = None
    """Sweeps to do."""
    free_energy: float | None = None
    """F per row; None while it is not known."""
    digest: str | None = None
    """SHA-256 of the result, once there is one."""
    reason: str | None = None
    """Why the run stopped or failed."""
    attempt: int = 1
    """How many times the run was started."""
    code: str | None = None
    """Version and state of the program that began or resumed the run last."""
    data_digest: str | None = None
    """Of the rows that the data source holds."""
    data_source: str | None = None
    """Of what the configuration says of the data: where it is the same, `data_digest` should be."""
    numbers: dict[str, float] | None = None
    """What a finished run came to; see `run_numbers`."""
    noise: list[str] = field(default_factory=list)
    """Which of them are its noise level."""
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    job: str | None = field(default_factory=job_id)
    heartbeat: str = field(default_factory=now)
    """When this was written."""

    def heartbeat_age(self) -> float:
        """Seconds since this was written."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.heartbeat)).total_seconds()


_FIELDS = frozenset(each.name for each in fields(Status))


class StatusFile:
    """Keeps the status of this process's run on disk; for root only."""

    def __init__(self, folder: Path, n_iterations: int | None = None) -> None:
        """A status that says `running`; its attempt is one more than that of the run before in this folder."""
        self.path = folder / NAME
        try:
            before = read_status(folder)
        except StatusError:
            before = None
        attempt = 1 if before is None else before.attempt + 1
        self.status = Status("running", n_iterations=n_iterations, attempt=attempt)

    def write(self, **changes: Any) -> str | None:
        """None once a status with these changes is on disk, else a sentence on why it is not."""
        free_energy = changes.get("free_energy")
        if free_energy is not None and not math.isfinite(free_energy):
            changes["free_energy"] = None
        self.status = replace(self.status, heartbeat=now(), **changes)
        try:
            atomic.write_json(self.path, asdict(self.status))
        except OSError as error:
            return f"the status could not be written to {self.path} ({error})"
        return None


def read_status(folder: Path) -> Status | None:
    """The status of the run in a folder, None where it has none; StatusError where it cannot be read or is damaged."""
    path = folder / NAME
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if not stat.S_ISREG(about.st_mode) or about.st_size > _LARGEST:
            raise ValueError("it is no file, or far too large for one")
        content = json.loads(path.read_bytes())
        status = Status(**{name: value for name, value in content.items() if name in _FIELDS})
        status.heartbeat_age()
        if status.state not in get_args(State):
            raise ValueError(f"{status.state} is no state")
    except FileNotFoundError as error:
        if (link := access.cannot_open(error, path)) is not None:
            raise StatusError(str(link)) from error
        return None
    except OSError as error:
        raise StatusError(str(access.cannot_open(error, path) or f"{path} cannot be read: {error.strerror}")) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StatusError(f"{path} is damaged ({error}); it is written anew when the run goes on") from error
    return status
